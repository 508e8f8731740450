//! A refusal in the protobuf form of Kubernetes, for clients that accept nothing else.

use crate::status::Failure;

pub(crate) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// `Status` inside the envelope `runtime.Unknown`.
pub(crate) fn status(failure: &Failure) -> Vec<u8> {
    let mut status = Vec::new();
    // ListMeta with its three strings, the first two empty and present.
    field(&mut status, 1, &[0x0a, 0, 0x12, 0, 0x1a, 0]);
    field(&mut status, 2, b"Failure");
    field(&mut status, 3, failure.message.as_bytes());
    field(&mut status, 4, failure.reason.as_deref().unwrap_or_default().as_bytes());
    status.push(6 << 3);
    varint(&mut status, failure.code.into());
    let mut kind = Vec::new();
    field(&mut kind, 1, b"v1");
    field(&mut kind, 2, b"Status");
    let mut out = b"k8s\0".to_vec();
    field(&mut out, 1, &kind);
    field(&mut out, 2, &status);
    field(&mut out, 3, b"");
    field(&mut out, 4, b"");
    out
}

fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push((number << 3) | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

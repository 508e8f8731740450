//! Names of children. They have to be those that KServe gives, bit for bit: a service that is taken over must find its
//! own children again.

use md5::{Digest, Md5};

/// The longest name of a child, in bytes: that of a DNS label.
pub const MAX_BYTES: usize = 63;
const MD5_HEX_BYTES: usize = 32;
/// What is left for readable text beside the hash.
const READABLE_BYTES: usize = MAX_BYTES - MD5_HEX_BYTES;

/// The name of the child of `parent` that `suffix` tells apart, at most 63 bytes long.
///
/// Short names are joined. A longer parent is cut and followed by its MD5; with a long suffix the hash covers both and
/// as much of the suffix follows as fits (knative `kmeta.ChildName`).
pub fn child_name(parent: &str, suffix: &str) -> String {
    if parent.len() + suffix.len() <= MAX_BYTES {
        return format!("{parent}{suffix}");
    }
    if suffix.len() < READABLE_BYTES {
        return format!("{}{}{suffix}", head(parent, READABLE_BYTES - suffix.len()), md5_hex(parent));
    }
    let hash = md5_hex(&format!("{parent}{suffix}"));
    let mut name = format!("{}{hash}", head(parent, READABLE_BYTES));
    name.push_str(head(suffix, MAX_BYTES - name.len()));
    name.truncate(name.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).len());
    name
}

/// The InferencePool of a service that does not name its own.
pub fn inference_pool(service: &str) -> String {
    child_name(service, "-inference-pool")
}

/// The Service of a service's endpoint picker, if the pool does not name another.
pub fn picker_service(service: &str) -> String {
    child_name(service, "-epp-service")
}

/// The ServiceAccount of a service's endpoint picker.
pub fn picker_service_account(service: &str) -> String {
    child_name(service, "-epp-sa")
}

/// The Service in front of all workload pods.
pub fn workload_service(service: &str) -> String {
    child_name(service, "-kserve-workload-svc")
}

/// The HTTPRoute that is made for a service.
pub fn route(service: &str) -> String {
    child_name(service, "-kserve-route")
}

/// The Secret with the certificate of workload and picker.
pub fn certificate_secret(service: &str) -> String {
    child_name(service, "-kserve-self-signed-certs")
}

/// The ResourceClaimTemplate of managed devices.
pub fn managed_dra(service: &str) -> String {
    child_name(service, "-managed-dra")
}

/// The beginning of `text`, at most `bytes` long, not cutting a character.
fn head(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

fn md5_hex(text: &str) -> String {
    Md5::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::child_name;

    #[test]
    fn short_names_are_joined() {
        assert_eq!(child_name("qwen", "-epp-sa"), "qwen-epp-sa");
        let parent = "a".repeat(56);
        assert_eq!(child_name(&parent, "-epp-sa"), format!("{parent}-epp-sa"));
    }

    #[test]
    fn a_long_parent_is_cut_and_hashed() {
        let name = child_name(&"a".repeat(57), "-epp-sa");
        assert_eq!(name.len(), 63);
        assert!(name.starts_with(&"a".repeat(24)) && name.ends_with("-epp-sa"), "{name}");
        assert_ne!(name, child_name(&format!("{}b", "a".repeat(56)), "-epp-sa"));
    }

    #[test]
    fn a_long_suffix_is_cut_and_the_name_ends_in_a_letter_or_digit() {
        let name = child_name(&"a".repeat(31), &format!("-{}", "b".repeat(40)));
        assert_eq!(name.len(), 63);
        assert!(name.ends_with(|c: char| c.is_ascii_alphanumeric()), "{name}");
        assert!(child_name("a.b", &"-".repeat(70)).ends_with(|c: char| c.is_ascii_alphanumeric()));
    }

    #[test]
    fn characters_are_never_cut_in_two() {
        assert!(child_name(&"é".repeat(40), "-epp-sa").len() <= 63);
    }
}

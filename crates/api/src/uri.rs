//! Where a model is: `scheme://rest`.

use std::fmt;

/// A model's address, split as far as every reader needs it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelUri {
    /// What stands before `://`.
    pub scheme: Scheme,
    /// What stands after it.
    pub rest: String,
}

/// How a model is fetched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Hugging Face: `hf://OWNER/MODEL[:REVISION]`.
    HuggingFace,
    /// S3: `s3://BUCKET/PREFIX`.
    S3,
    /// Google Cloud Storage: `gs://BUCKET/PREFIX`.
    Gcs,
    /// Azure Blob Storage: `azure://ACCOUNT/CONTAINER/PREFIX`.
    Azure,
    /// An archive or file over `http://`.
    Http,
    /// An archive or file over `https://`.
    Https,
    /// An image: `oci://REGISTRY/IMAGE:TAG`.
    Oci,
    /// A volume claim: `pvc://CLAIM/PATH`.
    Pvc,
    /// An image that is always mounted by the node itself: `oci+native://REGISTRY/IMAGE:TAG`.
    OciNative,
    /// A folder of this machine: `file:///PATH`. Nothing that a cluster can use.
    File,
    /// Any other.
    Other(String),
}

/// Why a text is not the address of a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no `://`.
    #[error(
        "{0:?} has no scheme; write hf://OWNER/MODEL, s3://BUCKET/PATH, pvc://CLAIM/PATH, oci://IMAGE or file:///PATH"
    )]
    NoScheme(String),
}

/// What keeps `text` from being a URL at all; `None` if Go would read it. A text without a scheme is a URL, too.
pub fn malformed(text: &str) -> Option<String> {
    if text.chars().any(|c| c.is_ascii_control()) {
        return Some("it contains a control character".to_owned());
    }
    if text.starts_with(':') {
        return Some("there is nothing before the first colon".to_owned());
    }
    let escapes_fit = text
        .split('%')
        .skip(1)
        .all(|rest| rest.len() >= 2 && rest.bytes().take(2).all(|b| b.is_ascii_hexdigit()));
    if !escapes_fit {
        return Some("a % is not followed by two hexadecimal digits".to_owned());
    }
    let (_, rest) = text.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    if host.starts_with('[') && !host.contains(']') {
        return Some("the host has a [ without ]".to_owned());
    }
    host.contains([' ', '<', '>', '"', '^', '`'])
        .then(|| "the host contains a character that no host has".to_owned())
}

impl ModelUri {
    /// Splits `text`. Schemes are compared as written: `HF://` is not `hf://`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| Error::NoScheme(text.to_owned()))?;
        Ok(ModelUri { scheme: Scheme::of(scheme), rest: rest.to_owned() })
    }
}

impl Scheme {
    fn of(word: &str) -> Self {
        match word {
            "hf" => Scheme::HuggingFace,
            "s3" => Scheme::S3,
            "gs" => Scheme::Gcs,
            "azure" => Scheme::Azure,
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "oci" => Scheme::Oci,
            "oci+native" => Scheme::OciNative,
            "pvc" => Scheme::Pvc,
            "file" => Scheme::File,
            other => Scheme::Other(other.to_owned()),
        }
    }

    /// The scheme as it is written.
    pub fn as_str(&self) -> &str {
        match self {
            Scheme::HuggingFace => "hf",
            Scheme::S3 => "s3",
            Scheme::Gcs => "gs",
            Scheme::Azure => "azure",
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::Oci => "oci",
            Scheme::OciNative => "oci+native",
            Scheme::Pvc => "pvc",
            Scheme::File => "file",
            Scheme::Other(word) => word,
        }
    }
}

impl fmt::Display for ModelUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, ModelUri, Scheme, malformed};

    #[test]
    fn what_go_cannot_read_as_a_url_is_malformed() {
        for bad in ["http://[::1", "hf://a/%zz", ":x", "hf://a b/c", "a\u{1}"] {
            assert!(malformed(bad).is_some(), "{bad}");
        }
        for good in [
            "",
            "hf://Qwen/Qwen2-7B-Instruct",
            "pvc://claim/a%20b",
            "s3://bucket",
            "Qwen/x",
            "http://[::1]:80/x",
        ] {
            assert_eq!(malformed(good), None, "{good}");
        }
    }

    #[test]
    fn an_address_is_split_at_its_scheme_and_written_back() {
        let uri = ModelUri::parse("hf://Qwen/Qwen2-7B-Instruct").unwrap();
        assert_eq!((&uri.scheme, uri.rest.as_str()), (&Scheme::HuggingFace, "Qwen/Qwen2-7B-Instruct"));
        assert_eq!(uri.to_string(), "hf://Qwen/Qwen2-7B-Instruct");
    }

    #[test]
    fn an_address_without_scheme_is_refused_with_the_forms_that_work() {
        let refused = ModelUri::parse("Qwen/Qwen2-7B").unwrap_err();
        assert_eq!(refused, Error::NoScheme("Qwen/Qwen2-7B".to_owned()));
        assert!(refused.to_string().contains("hf://"));
    }
}

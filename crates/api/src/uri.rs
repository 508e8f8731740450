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
    use super::{Error, ModelUri, Scheme};

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

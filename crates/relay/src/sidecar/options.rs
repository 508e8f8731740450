//! The sidecar's command line: the flags of llm-d's `pd-sidecar`, as KServe's presets give them.

use std::net::IpAddr;
use std::path::PathBuf;

/// How a sidecar works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where it listens, and where its own engine is (`--host`); `None` listens everywhere and finds the engine at 127.0.0.1.
    pub host: Option<IpAddr>,
    /// Where clients send requests (`--port`).
    pub port: u16,
    /// Where its own engine listens (`--model-server-port`, or `--vllm-port` of older presets).
    pub engine_port: u16,
    /// Directory with `tls.crt` and `tls.key` (`--cert-path`); `None` listens without TLS (`--secure-proxy=false`).
    pub certificates: Option<PathBuf>,
    /// Whether its own engine speaks TLS (`--enable-tls=decoder`).
    pub engine_tls: bool,
    /// Whether engines that compute prompts speak TLS (`--enable-tls=prefiller`).
    pub prefill_tls: bool,
    /// Whether prompts are only sent to addresses of the kind that the sidecar itself listens at
    /// (`--enable-ssrf-protection`). Without a cluster there is no list of the pool's pods to ask for.
    pub only_neighbours: bool,
}

/// Why a command line cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// No flag has this name.
    #[error("unknown flag: {0}")]
    Unknown(String),
    /// A flag without its value.
    #[error("flag needs an argument: --{0}")]
    NoValue(String),
    /// A value that cannot be read.
    #[error("invalid argument {value:?} for --{flag}: {reason}")]
    WrongValue {
        /// The flag.
        flag: String,
        /// The value as written.
        value: String,
        /// What was expected.
        reason: &'static str,
    },
    /// Something that this sidecar does not do.
    #[error("--{flag}={value} is not supported yet; {hint}")]
    NotSupported {
        /// The flag.
        flag: &'static str,
        /// The value as written.
        value: String,
        /// What to do.
        hint: &'static str,
    },
}

/// Flags that need nothing from a sidecar that has no cluster and one connector.
const WITHOUT_EFFECT: [&str; 4] =
    ["pool-group", "inference-pool", "inference-pool-namespace", "inference-pool-name"];

impl Options {
    /// Reads the arguments. Empty ones, which templates leave, are skipped.
    ///
    /// # Errors
    /// If a flag is unknown, has no value or a wrong one, or asks for what is not there.
    pub fn from_args(args: &[String]) -> Result<Self, OptionsError> {
        let mut options = Self {
            host: None,
            port: 8000,
            engine_port: 8200,
            certificates: None,
            engine_tls: false,
            prefill_tls: false,
            only_neighbours: false,
        };
        let (mut secure, mut older_engine_port, mut engine_port) = (true, None, None);
        let mut args = args.iter().filter(|arg| !arg.is_empty()).peekable();
        while let Some(arg) = args.next() {
            let Some(flag) = arg.strip_prefix('-').map(|flag| flag.trim_start_matches('-')) else {
                return Err(OptionsError::Unknown(arg.clone()));
            };
            let (flag, given) = match flag.split_once('=') {
                Some((flag, value)) => (flag, Some(value.to_owned())),
                None => (flag, None),
            };
            let is_switch = matches!(flag, "secure-proxy" | "enable-ssrf-protection");
            let value = match given {
                Some(value) => value,
                None if is_switch => "true".to_owned(),
                None => args
                    .next_if(|next| !next.starts_with('-'))
                    .cloned()
                    .ok_or_else(|| OptionsError::NoValue(flag.to_owned()))?,
            };
            let wrong =
                |reason| OptionsError::WrongValue { flag: flag.to_owned(), value: value.clone(), reason };
            let port =
                || value.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(|| wrong("expected a port"));
            let truth = || value.parse::<bool>().map_err(|_| wrong("expected true or false"));
            match flag {
                "host" => options.host = Some(value.parse().map_err(|_| wrong("expected an address"))?),
                "port" => options.port = port()?,
                "model-server-port" => engine_port = Some(port()?),
                "vllm-port" => older_engine_port = Some(port()?),
                "secure-proxy" => secure = truth()?,
                "cert-path" => options.certificates = Some(PathBuf::from(&value)),
                "enable-ssrf-protection" => options.only_neighbours = truth()?,
                "enable-tls" => {
                    for role in value.split(',').map(str::trim) {
                        match role {
                            "decoder" => options.engine_tls = true,
                            "prefiller" => options.prefill_tls = true,
                            "encoder" => {}
                            _ => return Err(wrong("expected prefiller, decoder or encoder")),
                        }
                    }
                }
                "kv-connector" | "connector" if value == "nixlv2" => {}
                "kv-connector" | "connector" => {
                    let hint = "the only connector is nixlv2";
                    return Err(OptionsError::NotSupported { flag: "kv-connector", value, hint });
                }
                "data-parallel-size" if value == "1" => {}
                "data-parallel-size" => {
                    let hint = "let the engine balance its ranks behind one port";
                    return Err(OptionsError::NotSupported { flag: "data-parallel-size", value, hint });
                }
                // Certificates of engines are not checked.
                "tls-insecure-skip-verify" => {}
                _ if WITHOUT_EFFECT.contains(&flag) => {}
                _ => return Err(OptionsError::Unknown(format!("--{flag}"))),
            }
        }
        options.engine_port = engine_port.or(older_engine_port).unwrap_or(options.engine_port);
        if !secure {
            options.certificates = None;
        } else if options.certificates.is_none() {
            let (flag, value) = ("secure-proxy", "true".to_owned());
            let hint = "name the directory of the certificate with --cert-path, or give --secure-proxy=false";
            return Err(OptionsError::NotSupported { flag, value, hint });
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<Options, OptionsError> {
        Options::from_args(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_flags_of_a_preset_are_understood_with_and_without_tls() {
        let common =
            ["--port=8000", "--vllm-port=8001", "--kv-connector=nixlv2", "--enable-ssrf-protection=true"];
        let pool = ["--pool-group=inference.networking.x-k8s.io", "--inference-pool=team/x-inference-pool"];
        let plain = read(&[&common[..], &pool, &["--secure-proxy=false", "", "", ""]].concat()).unwrap();
        assert_eq!((plain.port, plain.engine_port, plain.certificates), (8000, 8001, None));
        assert!(plain.only_neighbours && !plain.engine_tls);
        let tls =
            ["--secure-proxy=true", "--cert-path=/tls", "--enable-tls=decoder", "--enable-tls=prefiller"];
        let secured = read(&[&common[..], &pool, &tls].concat()).unwrap();
        assert_eq!(secured.certificates, Some(PathBuf::from("/tls")));
        assert!(secured.engine_tls && secured.prefill_tls);
    }

    #[test]
    fn the_newer_flag_for_the_engines_port_wins() {
        let options =
            read(&["--model-server-port", "1", "--vllm-port", "2", "--secure-proxy=false"]).unwrap();
        assert_eq!(options.engine_port, 1);
    }

    #[test]
    fn what_is_not_understood_or_not_there_is_named() {
        let message = |args: &[&str]| read(args).unwrap_err().to_string();
        assert_eq!(message(&["--prot=1"]), "unknown flag: --prot");
        assert_eq!(message(&["--port"]), "flag needs an argument: --port");
        assert_eq!(message(&["--port=x"]), "invalid argument \"x\" for --port: expected a port");
        assert!(message(&["--kv-connector=sglang"]).contains("the only connector is nixlv2"));
        assert!(message(&[]).contains("--cert-path"), "TLS is the default, and needs a certificate");
    }
}

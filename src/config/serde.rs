//! The feature `serde`: a [`Config`](super::Config) as part of a program's own configuration file.
//!
//! ```json
//! {
//!     "hosts": ["amqps://a.example", "amqps://b.example:5673"],
//!     "credentials": { "user": "shop", "password": "..." },
//!     "vhost": "shop",
//!     "heartbeat": 20,
//!     "connection_timeout": 2.5,
//!     "mechanisms": ["PLAIN"],
//!     "tls": { "ca_files": ["ca.pem"] },
//!     "limits": { "body_size": 1048576 },
//!     "while_blocked": "fail_fast"
//! }
//! ```
//!
//! What is left out is the default, what is unknown is an error. Durations are numbers of seconds.
//! Secrets are read and never written.
use std::path::PathBuf;

use serde::de::{Deserializer, Error as _};
use serde::ser::{Error as _, Serializer};
use serde::{Deserialize, Serialize};

use super::tls::{Identity, Pem, ServerNameSetting, Verify};
use super::{Address, Mechanism, Secret, Tls};

/// Durations as numbers of seconds, whole or not.
pub(super) mod seconds {
    use std::time::Duration;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in crate::config) fn serialize<S: Serializer>(
        duration: &Duration,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        if duration.subsec_nanos() == 0 {
            to.serialize_u64(duration.as_secs())
        } else {
            to.serialize_f64(duration.as_secs_f64())
        }
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// As in an address, without user and vhost: `amqps://host:port`.
impl Serialize for Address {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// By name; read in any case.
impl Serialize for Mechanism {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Mechanism {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Mechanism::from_name(&String::deserialize(from)?)
            .ok_or_else(|| D::Error::custom("expected plain, amqplain, external or anonymous"))
    }
}

/// Secrets are read and never written.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Secret::new)
    }
}

/// The settings of TLS as they are written: files only, and no way to turn verification off.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    ca_files: Vec<PathBuf>,
    and_system_roots: bool,
    certificate_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    server_name: Option<String>,
    without_server_name: bool,
}

/// `ca_files`, `and_system_roots`, `certificate_file`, `key_file`, `server_name`,
/// `without_server_name`. What was given as PEM text cannot be written, and is an error.
impl Serialize for Tls {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let file = |pem: &Pem| match pem {
            Pem::File(path) => Ok(path.clone()),
            Pem::Text(_) => Err(S::Error::custom("PEM given as text is not written")),
        };
        let Tls { authorities, and_system_roots, identity, server_name, verify } = self;
        if *verify != Verify::Peer {
            return Err(S::Error::custom("that verification is off is not written"));
        }
        let (certificate_file, key_file) = match identity {
            Some(Identity { chain, key }) => (Some(file(chain)?), Some(file(key)?)),
            None => (None, None),
        };
        let written = Written {
            ca_files: authorities.iter().map(file).collect::<Result<_, _>>()?,
            and_system_roots: *and_system_roots,
            certificate_file,
            key_file,
            server_name: match server_name {
                ServerNameSetting::Named(name) => Some(name.clone()),
                ServerNameSetting::Host | ServerNameSetting::Unsent => None,
            },
            without_server_name: *server_name == ServerNameSetting::Unsent,
        };
        written.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Tls {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(from)?;
        let mut tls = Tls { and_system_roots: written.and_system_roots, ..Tls::default() };
        tls.authorities = written.ca_files.into_iter().map(Pem::File).collect();
        tls = match (written.certificate_file, written.key_file) {
            (Some(certificate), Some(key)) => tls.identity_files(certificate, key),
            // As in an address, one file may hold both.
            (Some(both), None) => tls.identity_files(both.clone(), both),
            (None, Some(_)) => return Err(D::Error::custom("key_file needs certificate_file")),
            (None, None) => tls,
        };
        match (written.server_name, written.without_server_name) {
            (Some(_), true) => Err(D::Error::custom("server_name excludes without_server_name")),
            (Some(name), false) => Ok(tls.server_name(name)),
            (None, true) => Ok(tls.without_server_name()),
            (None, false) => Ok(tls),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::config::{Address, Config, Credentials, Hold, Limits, Mechanism, Tls};

    const WRITTEN: &str = r#"{
        "hosts": ["amqps://a.example", "amqps://[::1]:5673"],
        "credentials": { "user": "shop", "password": "hunter2" },
        "mechanisms": ["external", "PLAIN"],
        "vhost": "shop",
        "heartbeat": 20,
        "connection_timeout": 2.5,
        "tls": { "ca_files": ["ca.pem"], "certificate_file": "me.pem", "server_name": "b" },
        "limits": { "body_size": 1048576, "consumer_stall": 3 },
        "while_blocked": "fail_fast"
    }"#;

    fn config() -> Config {
        let limits = Limits {
            body_size: 1024 * 1024,
            consumer_stall: Duration::from_secs(3),
            ..Limits::default()
        };
        Config::new()
            .hosts([Address::tls("a.example"), Address::tls("::1").port(5673)])
            .credentials(Credentials::new("shop", "hunter2"))
            .mechanisms([Mechanism::External, Mechanism::Plain])
            .vhost("shop")
            .heartbeat(Duration::from_secs(20))
            .connection_timeout(Duration::from_millis(2500))
            .tls(Tls::new().ca_file("ca.pem").identity_files("me.pem", "me.pem").server_name("b"))
            .limits(limits)
            .while_blocked(Hold::FailFast)
    }

    #[test]
    fn a_configuration_is_read_and_what_is_left_out_is_the_default() {
        assert_eq!(serde_json::from_str::<Config>(WRITTEN).unwrap(), config());
        assert_eq!(serde_json::from_str::<Config>("{}").unwrap(), Config::new());
    }

    #[test]
    fn what_is_written_is_read_again_all_but_the_password() {
        let mut written = serde_json::to_value(config()).unwrap();
        assert!(!written.to_string().contains("hunter2"), "{written}");
        let error = serde_json::from_value::<Config>(written.clone()).unwrap_err();
        assert!(error.to_string().contains("missing field `password`"), "{error}");
        written["credentials"]["password"] = "hunter2".into();
        assert_eq!(serde_json::from_value::<Config>(written).unwrap(), config());
    }

    #[test]
    fn what_cannot_be_written_is_an_error_and_not_left_out() {
        for tls in [
            Tls::new().ca_pem("certificate"),
            Tls::new().identity_pem("certificate", "key"),
            Tls::new().danger_accept_any_certificate(),
        ] {
            assert!(serde_json::to_string(&tls).is_err(), "{tls:?}");
        }
    }

    #[test]
    fn an_unknown_or_bad_setting_is_refused_by_name() {
        for (text, message) in [
            (r#"{"hartbeat": 1}"#, "unknown field `hartbeat`"),
            (r#"{"limits": {"body": 1}}"#, "unknown field `body`"),
            (r#"{"tls": {"verify": "verify_none"}}"#, "unknown field `verify`"),
            (r#"{"tls": {"key_file": "k"}}"#, "key_file needs certificate_file"),
            (
                r#"{"tls": {"server_name": "a", "without_server_name": true}}"#,
                "server_name excludes without_server_name",
            ),
            (r#"{"hosts": ["a"]}"#, "an address begins with amqp:// or amqps://"),
            (r#"{"mechanisms": ["digest"]}"#, "plain, amqplain, external or anonymous"),
            (r#"{"heartbeat": -1}"#, "negative"),
            (r#"{"provider": null}"#, "unknown field `provider`"),
        ] {
            let error = serde_json::from_str::<Config>(text).unwrap_err();
            assert!(error.to_string().contains(message), "{text}: {error}");
        }
    }
}

//! The parameters behind the `?` of an address.
use std::time::Duration;

use super::*;

/// Every parameter that RabbitMQ documents: name, whether it is of TLS, and how it is applied.
const PARAMETERS: &[Parameter] = &[
    Parameter::plain("heartbeat", |config, value| {
        let seconds: u16 = parse_number(value).ok_or("seconds from 0 (none) to 65535")?;
        config.heartbeat = Duration::from_secs(seconds.into());
        Ok(())
    }),
    Parameter::plain("connection_timeout", |config, value| {
        let milliseconds: u32 = parse_number(value)
            .filter(|milliseconds| *milliseconds > 0)
            .ok_or("milliseconds, at least 1")?;
        config.connection_timeout = Duration::from_millis(milliseconds.into());
        Ok(())
    }),
    Parameter::plain("channel_max", |config, value| {
        config.channel_max = parse_number(value).ok_or("a number from 0 (no limit) to 65535")?;
        Ok(())
    }),
    Parameter::plain("frame_max", |config, value| {
        config.frame_max = parse_number(value)
            .filter(|bytes| *bytes == 0 || *bytes >= FRAME_MAX_LEAST)
            .ok_or("0 (no limit) or at least 4096 bytes")?;
        Ok(())
    }),
    Parameter::plain(AUTH_MECHANISM, |config, value| {
        let mechanism = Mechanism::from_name(value)
            .filter(|mechanism| !config.mechanisms.contains(mechanism))
            .ok_or("plain, amqplain, external or anonymous, each at most once")?;
        config.mechanisms.push(mechanism);
        Ok(())
    }),
    Parameter::tls("cacertfile", |config, value| {
        edit_tls(config, |tls| tls.ca_file(value));
        Ok(())
    }),
    Parameter::tls("certfile", |config, value| {
        edit_tls(config, |tls| tls.identity_files(value, value));
        Ok(())
    }),
    // Applied with `certfile`, below.
    Parameter::tls("keyfile", |_, _| Ok(())),
    Parameter::tls("verify", |config, value| {
        config.tls.verify = match value {
            "verify_peer" => Verify::Peer,
            "verify_none" => Verify::NothingAsked,
            _ => return Err("verify_peer or verify_none"),
        };
        Ok(())
    }),
    Parameter::tls("server_name_indication", |config, value| {
        if value == "disable" {
            edit_tls(config, Tls::without_server_name);
        } else if is_host(value) {
            edit_tls(config, |tls| tls.server_name(value));
        } else {
            return Err("a host's name, or disable");
        }
        Ok(())
    }),
];

const AUTH_MECHANISM: &str = "auth_mechanism";

/// Parameters of the Erlang client that have no meaning here.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("password", "a private key must not be encrypted; decrypt the key file"),
    ("depth", "certificate chains have a fixed bound"),
    ("fail_if_no_peer_cert", "it is a setting of servers"),
];

struct Parameter {
    name: &'static str,
    of_tls: bool,
    /// Sets what the value says, or tells what the value must be.
    apply: fn(&mut Config, &str) -> Result<(), &'static str>,
}

impl Parameter {
    const fn plain(
        name: &'static str,
        apply: fn(&mut Config, &str) -> Result<(), &'static str>,
    ) -> Self {
        Parameter { name, of_tls: false, apply }
    }

    const fn tls(
        name: &'static str,
        apply: fn(&mut Config, &str) -> Result<(), &'static str>,
    ) -> Self {
        Parameter { name, of_tls: true, apply }
    }
}

/// Applies the parameters of a query to a default configuration.
pub(super) fn apply(config: &mut Config, scheme: Scheme, query: &str) -> Result<(), UriError> {
    let mut seen: Vec<&'static str> = Vec::new();
    let (mut certificate, mut key) = (None, None);
    // A trailing or doubled `&` separates nothing.
    for (at, pair) in query.split('&').enumerate().filter(|(_, pair)| !pair.is_empty()) {
        let (raw_name, raw_value) = pair.split_once('=').unwrap_or((pair, ""));
        let parameter = find(raw_name, at + 1)?;
        let name = parameter.name;
        if parameter.of_tls && scheme != Scheme::Amqps {
            return Err(UriError::NotTls { name });
        }
        if seen.contains(&name) && name != AUTH_MECHANISM {
            return Err(UriError::RepeatedParameter { name });
        }
        if !seen.contains(&name) && name == AUTH_MECHANISM {
            // The first one named replaces the default ones.
            config.mechanisms.clear();
        }
        seen.push(name);
        let value = decode(raw_value, || UriPart::Parameter { name: name.to_owned() })?;
        if value.is_empty() || value.contains('\0') {
            return Err(UriError::BadParameter { name, expected: "given a value" });
        }
        (parameter.apply)(config, &value)
            .map_err(|expected| UriError::BadParameter { name, expected })?;
        match name {
            "certfile" => certificate = Some(value),
            "keyfile" => key = Some(value),
            _ => {}
        }
    }
    match (certificate, key) {
        (Some(certificate), Some(key)) => {
            edit_tls(config, |tls| tls.identity_files(certificate, key))
        }
        (None, Some(_)) => return Err(UriError::KeyWithoutCertificate),
        (_, None) => {}
    }
    Ok(())
}

fn find(raw_name: &str, number: usize) -> Result<&'static Parameter, UriError> {
    let unknown = |name: &str| {
        // A name is quoted only if it looks like one: it might be a piece of anything.
        let word = name.len() <= 40
            && !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        if word { name.to_owned() } else { format!("number {number}") }
    };
    let name = decode(raw_name, || UriPart::Parameter { name: unknown(raw_name) })?;
    if let Some((name, instead)) = UNSUPPORTED.iter().find(|(known, _)| *known == name) {
        return Err(UriError::UnsupportedParameter { name, instead });
    }
    PARAMETERS
        .iter()
        .find(|parameter| parameter.name == name)
        .ok_or_else(|| UriError::UnknownParameter { name: unknown(&name) })
}

fn edit_tls(config: &mut Config, edit: impl FnOnce(Tls) -> Tls) {
    config.tls = edit(std::mem::take(&mut config.tls));
}

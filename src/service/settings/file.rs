//! The feature `serde`: settings from a file.

use std::{fmt, time::Duration};

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::{Settings, SettingsError, seconds};
use crate::{Config, Secret};

/// What there is, for whoever misspells it.
const NAMES: &[&str] = &[
    "broker_url",
    "connection_name",
    "pool_size",
    "max_channels_per_connection",
    "channel_max_size",
    "publisher_confirms",
    "prefetch_count",
    "consumer_timeout",
    "max_retries",
    "retry_delay",
];

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Fields)
    }
}

/// Written by hand, so that what is wrong with a value is said with its name.
struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Settings;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings of a service")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Settings, A::Error> {
        let mut settings = Settings::new(Config::new());
        let (mut broker, mut connection_name) = (None, None);
        let mut seen: Vec<String> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if seen.contains(&name) {
                return Err(A::Error::custom(format_args!("{name}: it is set twice")));
            }
            match &*name {
                "broker_url" => broker = Some(address::<A>(&value::<Secret, A>(&mut map, &name)?)?),
                "connection_name" => connection_name = value(&mut map, &name)?,
                "pool_size" => settings.pool_size = value(&mut map, &name)?,
                "max_channels_per_connection" => {
                    settings.max_channels_per_connection = value(&mut map, &name)?;
                }
                "channel_max_size" => settings.channel_max_size = value(&mut map, &name)?,
                "publisher_confirms" => settings.publisher_confirms = value(&mut map, &name)?,
                "prefetch_count" => settings.prefetch_count = value(&mut map, &name)?,
                "consumer_timeout" => {
                    let time: Option<f64> = value(&mut map, &name)?;
                    let time = time.map(|number| time_of::<A::Error>(number, &name));
                    settings.consumer_timeout = time.transpose()?;
                }
                "max_retries" => settings.max_retries = value(&mut map, &name)?,
                "retry_delay" => {
                    settings.retry_delay = time_of(value(&mut map, &name)?, &name)?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    return Err(A::Error::unknown_field(&name, NAMES));
                }
            }
            seen.push(name);
        }
        settings.broker = broker.ok_or_else(|| A::Error::missing_field("broker_url"))?;
        if connection_name.is_some() {
            settings.broker.connection_name = connection_name;
        }
        settings.check().map_err(A::Error::custom)?;
        Ok(settings)
    }
}

fn value<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    map: &mut A,
    name: &str,
) -> Result<T, A::Error> {
    map.next_value().map_err(|error| A::Error::custom(format_args!("{name}: {error}")))
}

fn address<'de, A: MapAccess<'de>>(url: &Secret) -> Result<Config, A::Error> {
    url.reveal().parse().map_err(|source| {
        let error = SettingsError::Address { name: "broker_url".to_owned(), source };
        let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
        A::Error::custom(format_args!("{error}{}", source.unwrap_or_default()))
    })
}

fn time_of<E: Error>(number: f64, name: &str) -> Result<Duration, E> {
    seconds(number).ok_or_else(|| E::custom(format_args!("{name}: it is no number of seconds")))
}

#[cfg(test)]
#[cfg(feature = "json")]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        serde_json::from_str(text).map_err(|error: serde_json::Error| error.to_string())
    }

    #[test]
    fn each_setting_is_read_by_its_name() {
        let settings = read(
            r#"{
                "broker_url": "amqp://me:hunter2@localhost/shop", "connection_name": "orders",
                "pool_size": 3, "max_channels_per_connection": 7, "channel_max_size": 20,
                "publisher_confirms": false, "prefetch_count": 50, "consumer_timeout": 2.5,
                "max_retries": 4, "retry_delay": 30
            }"#,
        );
        let config: Config = "amqp://me:hunter2@localhost/shop".parse().unwrap();
        let expected = Settings::new(config)
            .connection_name("orders")
            .pool_size(3)
            .max_channels_per_connection(7)
            .channel_max_size(20)
            .publisher_confirms(false)
            .prefetch_count(50)
            .consumer_timeout(Duration::from_millis(2500))
            .max_retries(4)
            .retry_delay(Duration::from_secs(30));
        assert_eq!(settings, Ok(expected));
        let least = read(r#"{"broker_url": "amqp://"}"#);
        assert_eq!(least, Ok(Settings::new(Config::new())));
    }

    #[test]
    fn an_unknown_or_bad_setting_is_refused_by_name() {
        for (setting, message) in [
            (r#""poolsize": 3"#, "unknown field `poolsize`"),
            (r#""pool_size": "three""#, "pool_size: invalid type"),
            (r#""pool_size": 0"#, "pool_size: it is zero"),
            (r#""pool_size": 1, "pool_size": 1"#, "pool_size: it is set twice"),
            (r#""prefetch_count": 70000"#, "prefetch_count: invalid value"),
            (r#""publisher_confirms": "yes""#, "publisher_confirms: invalid type"),
            (r#""consumer_timeout": -1"#, "consumer_timeout: it is no number of seconds"),
        ] {
            let error = read(&format!(r#"{{"broker_url": "amqp://", {setting}}}"#)).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
        let error = read(r#"{"pool_size": 1}"#).unwrap_err();
        assert!(error.contains("missing field `broker_url`"), "{error}");
        let error = read(r#"{"broker_url": "amqp://me:hunter2@local host"}"#).unwrap_err();
        assert!(error.starts_with("broker_url: ") && !error.contains("hunter2"), "{error}");
    }
}

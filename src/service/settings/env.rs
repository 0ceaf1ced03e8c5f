//! Settings from variables.

use std::{collections::BTreeMap, ffi::OsString, str::FromStr, time::Duration};

use super::{Settings, SettingsError, bad, seconds};

/// A variable's value, which is no more shown than a password in it may be.
type Vars = BTreeMap<String, OsString>;

/// Reads the variables that begin with the prefix.
pub(super) fn read(
    prefix: &str,
    vars: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Settings, SettingsError> {
    // A name that is no UTF-8 cannot be one of ours.
    let named = vars.filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let mut vars: Vars = named.filter(|(name, _)| name.starts_with(prefix)).collect();
    let settings = Reader { prefix, vars: &mut vars }.settings()?;
    match vars.into_keys().next() {
        Some(name) if !prefix.is_empty() => Err(SettingsError::Unknown { name }),
        _ => Ok(settings),
    }
}

struct Reader<'a> {
    prefix: &'a str,
    vars: &'a mut Vars,
}

impl Reader<'_> {
    fn settings(&mut self) -> Result<Settings, SettingsError> {
        let (name, url) = self.text("broker_url")?;
        let url = url.ok_or(SettingsError::Missing { name: name.clone() })?;
        let broker: crate::Config =
            url.parse().map_err(|source| SettingsError::Address { name, source })?;
        let mut settings = Settings::new(broker);
        if let (_, Some(name)) = self.text("connection_name")? {
            settings = settings.connection_name(name);
        }
        self.set("pool_size", &mut settings.pool_size)?;
        self.set("max_channels_per_connection", &mut settings.max_channels_per_connection)?;
        if let Some(most) = self.parsed("channel_max_size", WHOLE)? {
            settings.channel_max_size = Some(most);
        }
        if let Some(confirms) = self.parsed("publisher_confirms", "it is neither true nor false")? {
            settings.publisher_confirms = confirms;
        }
        self.set("prefetch_count", &mut settings.prefetch_count)?;
        if let Some(time) = self.time("consumer_timeout")? {
            settings.consumer_timeout = Some(time);
        }
        self.set("max_retries", &mut settings.max_retries)?;
        if let Some(time) = self.time("retry_delay")? {
            settings.retry_delay = time;
        }
        // Under the variable's name.
        settings.check().map_err(|error| match error {
            SettingsError::Bad { name, problem } => bad(&self.name(&name), problem),
            other => other,
        })?;
        Ok(settings)
    }

    fn set<N: FromStr>(&mut self, setting: &str, to: &mut N) -> Result<(), SettingsError> {
        if let Some(number) = self.parsed(setting, WHOLE)? {
            *to = number;
        }
        Ok(())
    }

    fn time(&mut self, setting: &str) -> Result<Option<Duration>, SettingsError> {
        let problem = "it is no number of seconds";
        let number: Option<f64> = self.parsed(setting, problem)?;
        let time = number.map(|number| seconds(number).ok_or(bad(&self.name(setting), problem)));
        time.transpose()
    }

    fn parsed<T: FromStr>(
        &mut self,
        setting: &str,
        problem: &'static str,
    ) -> Result<Option<T>, SettingsError> {
        let (name, text) = self.text(setting)?;
        text.map(|text| text.trim().parse().map_err(|_| bad(&name, problem))).transpose()
    }

    /// The variable's name, and what it says.
    fn text(&mut self, setting: &str) -> Result<(String, Option<String>), SettingsError> {
        let name = self.name(setting);
        match self.vars.remove(&name).map(OsString::into_string) {
            Some(Err(_)) => Err(bad(&name, "it is not UTF-8")),
            Some(Ok(text)) => Ok((name, Some(text))),
            None => Ok((name, None)),
        }
    }

    fn name(&self, setting: &str) -> String {
        format!("{}{}", self.prefix, setting.to_uppercase())
    }
}

const WHOLE: &str = "it is no whole number, or too large a one";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    const URL: (&str, &str) = ("SHOP_BROKER_URL", "amqp://me:hunter2@localhost/shop");

    #[test]
    fn each_setting_is_read_by_its_name() {
        let settings = Settings::from_vars(
            "SHOP_",
            [
                URL,
                ("SHOP_CONNECTION_NAME", "orders"),
                ("SHOP_POOL_SIZE", "3"),
                ("SHOP_MAX_CHANNELS_PER_CONNECTION", "7"),
                ("SHOP_CHANNEL_MAX_SIZE", "20"),
                ("SHOP_PUBLISHER_CONFIRMS", "false"),
                ("SHOP_PREFETCH_COUNT", "50"),
                ("SHOP_CONSUMER_TIMEOUT", "2.5"),
                ("SHOP_MAX_RETRIES", "4"),
                ("SHOP_RETRY_DELAY", "30"),
                ("OTHER_POOL_SIZE", "none of ours"),
            ],
        );
        let config: Config = URL.1.parse().unwrap();
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
    }

    #[test]
    fn what_is_left_out_is_the_default() {
        let settings = Settings::from_vars("SHOP_", [URL]).unwrap();
        assert_eq!(settings, Settings::new(URL.1.parse::<Config>().unwrap()));
        let bare = [("BROKER_URL", URL.1), ("PATH", "/bin")];
        assert_eq!(Settings::from_vars("", bare), Ok(settings), "without a prefix none is unknown");
    }

    #[test]
    fn an_unknown_or_bad_setting_is_refused_by_name() {
        for (name, value, message) in [
            ("SHOP_POOLSIZE", "3", "there is no such setting"),
            ("SHOP_POOL_SIZE", "three", "no whole number"),
            ("SHOP_POOL_SIZE", "-1", "no whole number"),
            ("SHOP_POOL_SIZE", "0", "it is zero"),
            ("SHOP_PREFETCH_COUNT", "70000", "too large"),
            ("SHOP_PUBLISHER_CONFIRMS", "yes", "neither true nor false"),
            ("SHOP_CONSUMER_TIMEOUT", "soon", "no number of seconds"),
            ("SHOP_CONSUMER_TIMEOUT", "-1", "no number of seconds"),
            ("SHOP_RETRY_DELAY", "inf", "no number of seconds"),
        ] {
            let error = Settings::from_vars("SHOP_", [URL, (name, value)]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name}: ")) && error.contains(message), "{error}");
        }
        let missing = Settings::from_vars("SHOP_", [("SHOP_POOL_SIZE", "3")]).unwrap_err();
        assert_eq!(missing.to_string(), "SHOP_BROKER_URL: it is not set");
    }

    #[test]
    fn no_secret_is_shown() {
        let settings = Settings::from_vars("SHOP_", [URL]).unwrap();
        assert!(!format!("{settings:?} {settings:#?}").contains("hunter2"));
        let wrong = ("SHOP_BROKER_URL", "amqp://me:hunter2@local host/shop");
        let error = Settings::from_vars("SHOP_", [wrong]).unwrap_err();
        assert!(matches!(error, SettingsError::Address { .. }));
        assert!(!format!("{error:?} {error}").contains("hunter2"));
    }
}

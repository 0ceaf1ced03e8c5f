use std::time::Duration;

use super::*;

fn parse(text: &str) -> Config {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn error(text: &str) -> UriError {
    match text.parse::<Uri>() {
        Ok(uri) => panic!("{text} was taken as {uri}"),
        Err(error) => error,
    }
}

/// User, password, host, port, vhost: the examples of RabbitMQ's URI specification, appendix A,
/// with our defaults for what they leave out, and more of the kind.
#[test]
fn every_part_is_decoded_and_what_is_left_out_is_the_default() {
    for (text, user, password, host, port, vhost) in [
        ("amqp://user:pass@host:10000/vhost", "user", "pass", "host", 10000, "vhost"),
        (
            "amqp://user%61:%61pass@ho%61st:10000/v%2fhost",
            "usera",
            "apass",
            "hoast",
            10000,
            "v/host",
        ),
        ("amqp://", "guest", "guest", "localhost", 5672, "/"),
        ("amqp://:@/", "", "", "localhost", 5672, ""),
        ("amqp://user@", "user", "", "localhost", 5672, "/"),
        ("amqp://user:pass@", "user", "pass", "localhost", 5672, "/"),
        ("amqp://host", "guest", "guest", "host", 5672, "/"),
        ("amqp://:10000", "guest", "guest", "localhost", 10000, "/"),
        ("amqp:///vhost", "guest", "guest", "localhost", 5672, "vhost"),
        ("amqp://host/", "guest", "guest", "host", 5672, ""),
        ("amqp://host/%2f", "guest", "guest", "host", 5672, "/"),
        ("amqp://host/%2F", "guest", "guest", "host", 5672, "/"),
        ("amqp://[::1]", "guest", "guest", "::1", 5672, "/"),
        ("amqp://[2001:db8::1]/", "guest", "guest", "2001:db8::1", 5672, ""),
        ("amqp://[2001:db8::1]:5673/a", "guest", "guest", "2001:db8::1", 5673, "a"),
        ("amqp://[fe80::1%25eth0]/a", "guest", "guest", "fe80::1%eth0", 5672, "a"),
        ("amqp://me:a@[::1]", "me", "a", "::1", 5672, "/"),
        ("AMQP://host", "guest", "guest", "host", 5672, "/"),
        ("amqp://@host", "guest", "guest", "host", 5672, "/"),
        ("amqp://:token@host", "", "token", "host", 5672, "/"),
        ("amqp://me:a:b@host", "me", "a:b", "host", 5672, "/"),
        ("amqp://me:%40%3A%2F%3F%23%25@host", "me", "@:/?#%", "host", 5672, "/"),
        ("amqp://a+b:c+d@host/e+f", "a+b", "c+d", "host", 5672, "e+f"),
        ("amqp://j%C3%BCrgen:ü@host/ö", "jürgen", "ü", "host", 5672, "ö"),
        ("amqp://127.0.0.1:1/", "guest", "guest", "127.0.0.1", 1, ""),
        ("amqp://a_b-c.d.:65535", "guest", "guest", "a_b-c.d.", 65535, "/"),
        ("amqp://host?", "guest", "guest", "host", 5672, "/"),
        ("amqp://host/a%20b", "guest", "guest", "host", 5672, "a b"),
    ] {
        let config = parse(text);
        assert_eq!(config.credentials, Credentials::new(user, password), "{text}");
        assert_eq!(config.hosts, [Address::plain(host).port(port)], "{text}");
        assert_eq!(config.vhost, vhost, "{text}");
        assert_eq!(config.check(), Ok(()), "{text}");
    }
}

#[test]
fn several_hosts_share_user_and_vhost_and_have_their_own_ports() {
    let config = parse("amqps://user:pass@a,b:5673,[::1]/shop");
    assert_eq!(config.credentials, Credentials::new("user", "pass"));
    assert_eq!(config.vhost, "shop");
    let hosts = [Address::tls("a"), Address::tls("b").port(5673), Address::tls("::1")];
    assert_eq!(config.hosts, hosts);
    assert_eq!(parse("amqp://[::1]:1,[::2]:2").hosts[1], Address::plain("::2").port(2));
}

#[test]
fn a_host_alone_is_read_as_it_is_printed() {
    for host in [Address::tls("a"), Address::plain("::1").port(1), Address::plain("fe80::1%eth0")] {
        assert_eq!(host.to_string().parse(), Ok(host));
    }
    for (text, error) in [
        ("a", UriError::Scheme),
        ("amqp://me:hunter2@a", UriError::StrayAt),
        ("amqp://a/b", UriError::Host { number: 1 }),
        ("amqp://a,b", UriError::Host { number: 1 }),
        ("amqp://a:b", UriError::Port { number: 1 }),
    ] {
        assert_eq!(text.parse::<Address>(), Err(error), "{text}");
    }
}

#[test]
fn what_is_no_address_is_refused_by_part() {
    use UriError::*;
    use UriPart::*;
    let long = format!("amqp://host/{}", "v".repeat(256));
    for (text, expected) in [
        ("", Scheme),
        ("localhost", Scheme),
        ("http://localhost", Scheme),
        ("amqp:/localhost", Scheme),
        ("amqpss://localhost", Scheme),
        (" amqp://localhost", Scheme),
        ("amqp://2001:db8::1/", UriError::Host { number: 1 }),
        ("amqp://[::1", UriError::Host { number: 1 }),
        ("amqp://[::1]5672", UriError::Host { number: 1 }),
        ("amqp://[localhost]", UriError::Host { number: 1 }),
        ("amqp://[127.0.0.1]", UriError::Host { number: 1 }),
        ("amqp://[]", UriError::Host { number: 1 }),
        ("amqp://%3A%3A1", UriError::Host { number: 1 }),
        ("amqp://a,,b", UriError::Host { number: 2 }),
        ("amqp://a,b,", UriError::Host { number: 3 }),
        ("amqp://hö", UriError::Host { number: 1 }),
        ("amqp://a%20b", UriError::Host { number: 1 }),
        ("amqp://a;b", UriError::Host { number: 1 }),
        ("amqp://a b", Character { part: UriPart::Host { number: 1 } }),
        ("amqp://a,b%", PercentEncoding { part: UriPart::Host { number: 2 } }),
        ("amqp://a:0", Port { number: 1 }),
        ("amqp://a:", Port { number: 1 }),
        ("amqp://a:65536", Port { number: 1 }),
        ("amqp://a:+1", Port { number: 1 }),
        ("amqp://a,b:x", Port { number: 2 }),
        ("amqp://[::1]:", Port { number: 1 }),
        ("amqp://%:p@host", PercentEncoding { part: User }),
        ("amqp://u:%4@host", PercentEncoding { part: Password }),
        ("amqp://u:%+4@host", PercentEncoding { part: Password }),
        ("amqp://host/%zz", PercentEncoding { part: Vhost }),
        ("amqp://%ff:p@host", NotUtf8 { part: User }),
        ("amqp://u:%ff@host", NotUtf8 { part: Password }),
        ("amqp://host/%ff", NotUtf8 { part: Vhost }),
        ("amqp://u u@host", Character { part: User }),
        ("amqp://u:\n@host", Character { part: Password }),
        ("amqp://host/a b", Character { part: Vhost }),
        ("amqp://host/a\0", Character { part: Vhost }),
        ("amqp://host/a/b", VhostSlash),
        ("amqp://host//", VhostSlash),
        (&long, VhostTooLong),
        ("amqp://host/a#b", Fragment),
        ("amqp://u:p@ss@host", StrayAt),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
}

#[test]
fn every_parameter_is_applied() {
    let config =
        parse("amqp://h?heartbeat=20&connection_timeout=1500&channel_max=100&frame_max=8192");
    assert_eq!(config.heartbeat, Duration::from_secs(20));
    assert_eq!(config.connection_timeout, Duration::from_millis(1500));
    assert_eq!(config.channel_max, 100);
    assert_eq!(config.frame_max, 8192);

    let zero = parse("amqp://h/v?heartbeat=0&channel_max=0&frame_max=0&");
    assert_eq!((zero.heartbeat, zero.channel_max, zero.frame_max), (Duration::ZERO, 0, 0));

    let config = parse("amqp://h?auth_mechanism=external&auth_mechanism=PLAIN");
    assert_eq!(config.mechanisms, [Mechanism::External, Mechanism::Plain]);

    let config = parse("amqps://h?cacertfile=/a%20b/ca.pem&certfile=/c.pem&keyfile=k+1.pem");
    assert_eq!(config.tls, Tls::new().ca_file("/a b/ca.pem").identity_files("/c.pem", "k+1.pem"));
    // As in the Erlang client, one file may hold both.
    let config = parse("amqps://h?certfile=/c.pem&verify=verify_peer");
    assert_eq!(config.tls, Tls::new().identity_files("/c.pem", "/c.pem"));

    assert_eq!(
        parse("amqps://h?server_name_indication=other").tls,
        Tls::new().server_name("other")
    );
    assert_eq!(
        parse("amqps://h?server_name_indication=disable").tls,
        Tls::new().without_server_name()
    );
}

#[test]
fn an_address_alone_does_not_turn_verification_off() {
    let config = parse("amqps://h?verify=verify_none");
    assert_eq!(config.tls.verify, Verify::NothingAsked);
    assert_eq!(config.tls.danger_accept_any_certificate().verify, Verify::Nothing);
}

#[test]
fn an_unknown_bad_or_repeated_parameter_is_refused_by_name() {
    for (query, message) in [
        ("hartbeat=1", "unknown parameter hartbeat"),
        ("Heartbeat=1", "unknown parameter Heartbeat"),
        ("heartbeat=1&x", "unknown parameter x"),
        ("heartbeat=1&=2", "unknown parameter number 2"),
        ("%20=1", "unknown parameter number 1"),
        ("%=1", "parameter number 1 holds a % without two hexadecimal digits behind it"),
        ("heartbeat", "parameter heartbeat must be given a value"),
        ("heartbeat=", "parameter heartbeat must be given a value"),
        ("heartbeat=-1", "parameter heartbeat must be seconds from 0 (none) to 65535"),
        ("heartbeat=65536", "parameter heartbeat must be seconds from 0 (none) to 65535"),
        ("heartbeat=1&heartbeat=2", "parameter heartbeat is given twice"),
        ("connection_timeout=0", "parameter connection_timeout must be milliseconds, at least 1"),
        ("connection_timeout=1s", "parameter connection_timeout must be milliseconds, at least 1"),
        ("channel_max=65536", "parameter channel_max must be a number from 0 (no limit) to 65535"),
        ("frame_max=16", "parameter frame_max must be 0 (no limit) or at least 4096 bytes"),
        ("frame_max=4294967296", "parameter frame_max must be 0 (no limit) or at least 4096 bytes"),
        (
            "auth_mechanism=digest",
            "parameter auth_mechanism must be plain, amqplain, external or anonymous, each at most once",
        ),
        (
            "auth_mechanism=plain&auth_mechanism=plain",
            "parameter auth_mechanism must be plain, amqplain, external or anonymous, each at most once",
        ),
        ("heartbeat=%ff", "parameter heartbeat is not UTF-8"),
        ("heartbeat=1 ", "parameter heartbeat holds a character that must be percent-encoded"),
        ("verify=1", "parameter verify must be verify_peer or verify_none"),
        ("cacertfile=", "parameter cacertfile must be given a value"),
        ("cacertfile=a%00b", "parameter cacertfile must be given a value"),
        ("keyfile=k", "parameter keyfile needs certfile"),
        (
            "server_name_indication=a%20b",
            "parameter server_name_indication must be a host's name, or disable",
        ),
        (
            "certfile=c&password=hunter2",
            "parameter password is not supported: a private key must not be encrypted; decrypt the key file",
        ),
        ("depth=2", "parameter depth is not supported: certificate chains have a fixed bound"),
        (
            "fail_if_no_peer_cert=true",
            "parameter fail_if_no_peer_cert is not supported: it is a setting of servers",
        ),
    ] {
        assert_eq!(error(&format!("amqps://host/v?{query}")).to_string(), message, "{query}");
    }
}

#[test]
fn a_tls_parameter_without_tls_is_refused_by_name() {
    for name in ["cacertfile", "certfile", "keyfile", "verify", "server_name_indication"] {
        assert_eq!(error(&format!("amqp://host?{name}=verify_peer")), UriError::NotTls { name });
    }
}

#[test]
fn nothing_that_was_written_is_quoted_but_names_of_parameters() {
    // A password with a character that had to be encoded, broken at each of the delimiters.
    for text in [
        "amqp://u:hunter2",
        "amqp://u:hunter2@h:hunter2",
        "amqp://u:hun/hunter2@host",
        "amqp://u:hun?hunter2@host",
        "amqp://u:hun?hunter2=1@host",
        "amqp://u:hun#hunter2@host",
        "amqp://u:hun@hunter2@host",
        "amqp://u:hunter2%@host",
        "amqp://u:hunter2 @host",
        "amqp://u:hunter2%ff@host",
        "amqp://u:x@[hunter2]",
        "hunter2://u",
        "amqp://h?heartbeat=hunter2",
        "amqp://h?%68unter2!=1",
    ] {
        let error = error(text);
        assert!(!format!("{error} {error:?}").contains("unter2"), "{text}: {error:?}");
    }
}

#[test]
fn a_password_is_not_printed() {
    let uri: Uri = "amqps://me:hunter2@a,[::1]:1/a%2fb?heartbeat=5".parse().unwrap();
    assert_eq!(uri.to_string(), "amqps://me:***@a:5671,[::1]:1/a%2Fb");
    assert!(!format!("{uri:?}").contains("hunter2"));
    assert_eq!(uri.credentials().password.reveal(), "hunter2");
}

proptest::proptest! {
    #[test]
    fn any_text_is_an_address_or_an_error(text in ".{0,60}") {
        let _ = text.parse::<Uri>();
        let _ = format!("amqps://{text}").parse::<Uri>();
        let _ = format!("amqp://h?{text}").parse::<Uri>();
    }

    #[test]
    fn encoded_parts_come_back_as_they_were(
        user in ".{1,20}", password in ".{0,20}", vhost in ".{0,20}",
    ) {
        let text = format!("amqp://{}:{}@h/{}", Encoded(&user), Encoded(&password), Encoded(&vhost));
        let uri: Uri = text.parse().unwrap();
        proptest::prop_assert_eq!(uri.credentials(), &Credentials::new(user, password));
        proptest::prop_assert_eq!(uri.vhost(), vhost);
    }
}

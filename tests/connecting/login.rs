//! Every way to log in.

use hopmq::{Config, Conn, Error, Mechanism, proto::Violation};

use crate::{Outcome, works};

fn shared() -> Config {
    Config::from_env("HOPMQ_TEST_AMQP_URL").expect("tests/run sets it")
}

#[tokio::test]
#[ignore = "needs RabbitMQ: run tests/run"]
async fn plain_and_amqplain() -> Outcome {
    for mechanism in [Mechanism::Plain, Mechanism::Amqplain] {
        works(&Conn::new(shared().mechanisms([mechanism])).connect().await?).await?;
    }
    Ok(())
}

/// RabbitMQ 4 offers it, 3 does not.
#[tokio::test]
#[ignore = "needs RabbitMQ: run tests/run"]
async fn anonymous_where_the_broker_offers_it() -> Outcome {
    match Conn::new(shared().mechanisms([Mechanism::Anonymous])).connect().await {
        Ok(conn) => works(&conn).await,
        Err(failed) => {
            let (error, _) = failed.into_parts();
            let Error::Peer(Violation::NoMechanism { offered }) = &error else {
                panic!("{error:?}")
            };
            assert!(!offered.contains("ANONYMOUS"), "it was offered");
            Ok(())
        }
    }
}

mod own_nodes {
    use std::{
        io::Write,
        process::{Command, Stdio},
        sync::{
            Arc,
            atomic::{AtomicU32, Ordering},
        },
        time::{Duration, SystemTime, UNIX_EPOCH},
    };

    use hopmq::{Credentials, Issued, Tls, wire::ReplyCode};

    use super::*;
    use crate::{blocking, node::Node};

    const SETTINGS: &str = "\
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = AMQPLAIN
auth_mechanisms.3 = EXTERNAL
auth_backends.1 = internal
auth_backends.2 = rabbit_auth_backend_oauth2
ssl_cert_login_from = common_name
auth_oauth2.resource_server_id = rabbitmq
";

    /// The key with which tokens are signed, here and at the node.
    const KEY: &str = "not much of a secret, and long enough for it";

    fn advanced() -> String {
        let key = format!(
            "{{map, #{{<<\"kty\">> => <<\"MAC\">>, <<\"alg\">> => <<\"HS256\">>, <<\"value\">> => <<\"{KEY}\">>}}}}"
        );
        format!(
            "[{{rabbitmq_auth_backend_oauth2, [{{resource_server_id, <<\"rabbitmq\">>}}, \
             {{key_config, [{{default_key, <<\"k\">>}}, {{signing_keys, #{{<<\"k\">> => {key}}}}}]}}]}}]."
        )
    }

    #[tokio::test]
    #[ignore = "needs RabbitMQ: run tests/run"]
    async fn certificates_and_tokens() -> Outcome {
        let plugins = ["rabbitmq_auth_mechanism_ssl", "rabbitmq_auth_backend_oauth2"];
        let node = blocking(move || Node::start_with(SETTINGS, &advanced(), &plugins)).await;
        let node = Arc::new(node);
        let both = tokio::join!(external(node.clone()), tokens(&node));
        both.0?;
        both.1?;
        blocking(move || drop(node)).await;
        Ok(())
    }

    /// EXTERNAL: the certificate says who it is.
    async fn external(node: Arc<Node>) -> Outcome {
        let folder = node.ca().parent().expect("its folder").to_owned();
        let tls = Tls::new()
            .ca_file(node.ca())
            .identity_files(folder.join("client.pem"), folder.join("client.key"));
        let config: Config = node.tls_uri().parse()?;
        // The name in the address is nobody's, and not asked for.
        let config = config
            .tls(tls)
            .credentials(Credentials::new("nobody", "wrong"))
            .mechanisms([Mechanism::External]);
        let failed = Conn::new(config.clone()).connect().await.expect_err("no such user yet");
        assert_eq!(failed.error().reply_code(), Some(ReplyCode::ACCESS_REFUSED), "{failed:?}");
        blocking(move || {
            node.ctl(&["add_user", "hopmq-test-client", "unused"]);
            node.ctl(&["set_permissions", "hopmq-test-client", ".*", ".*", ".*"]);
        })
        .await;
        works(&Conn::new(config).connect().await?).await
    }

    /// Tokens that expire after seconds: with a provider the connection outlives its first one.
    async fn tokens(node: &Node) -> Outcome {
        const LIFETIME: Duration = Duration::from_secs(8);
        let config: Config = node.uri().parse()?;
        let issued = Arc::new(AtomicU32::new(0));
        let count = issued.clone();
        let renewing = config.clone().credentials_from(move || {
            count.fetch_add(1, Ordering::Relaxed);
            async {
                let token = token(LIFETIME).await?;
                Ok(Issued::new(Credentials::new("", token)).expires_in(LIFETIME))
            }
        });
        let renewing = Conn::new(renewing).connect().await?;
        works(&renewing).await?;
        let fixed = config.clone().credentials(Credentials::new("", token(LIFETIME).await?));
        let fixed = Conn::new(fixed.without_recovery()).connect().await?;
        works(&fixed).await?;

        // Without a new one the broker no longer lets it do anything.
        let began = tokio::time::Instant::now();
        loop {
            if works(&fixed).await.is_err() {
                break;
            }
            assert!(began.elapsed() < 20 * LIFETIME, "the token does not expire");
            tokio::time::sleep(LIFETIME / 20).await;
        }
        let asked = issued.load(Ordering::Relaxed);
        assert!(asked >= 2, "the provider was asked {asked} times");
        works(&renewing).await?;
        assert_eq!(renewing.stats().machine.attempts, 1, "on the same connection");

        let expired = Credentials::new("", token(Duration::ZERO).await?);
        let failed = Conn::new(config.credentials(expired)).connect().await.expect_err("too late");
        assert_eq!(failed.error().reply_code(), Some(ReplyCode::ACCESS_REFUSED), "{failed:?}");
        Ok(())
    }

    /// A signed JSON web token (RFC 7519) that lets its holder do all.
    async fn token(lifetime: Duration) -> Outcome<String> {
        let expires = SystemTime::now().duration_since(UNIX_EPOCH)? + lifetime;
        let claims = format!(
            r#"{{"sub":"shop","aud":["rabbitmq"],"exp":{},"scope":["rabbitmq.configure:*/*","rabbitmq.write:*/*","rabbitmq.read:*/*"]}}"#,
            expires.as_secs()
        );
        let header = r#"{"alg":"HS256","kid":"k","typ":"JWT"}"#;
        let signed = format!("{}.{}", base64url(header.as_bytes()), base64url(claims.as_bytes()));
        let text = signed.clone();
        let signature = blocking(move || hmac(text.as_bytes())).await?;
        Ok(format!("{signed}.{}", base64url(&signature)))
    }

    fn hmac(text: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut openssl = Command::new("openssl")
            .args(["dgst", "-sha256", "-binary", "-hmac", KEY])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        openssl.stdin.take().expect("piped").write_all(text)?;
        Ok(openssl.wait_with_output()?.stdout)
    }

    /// RFC 4648, 5, without padding.
    fn base64url(bytes: &[u8]) -> String {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut text = String::new();
        for group in bytes.chunks(3) {
            let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
                << (8 * (3 - group.len()));
            for at in 0..=group.len() {
                text.push(char::from(ALPHABET[(bits >> (18 - 6 * at) & 63) as usize]));
            }
        }
        text
    }
}

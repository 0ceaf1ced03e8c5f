//! What a `Broker<Unbound>` can do.

use hopmq::broker::*;

async fn listen(broker: Broker<Unbound>) -> Option<Broker<Listening>> {
    broker.listen("127.0.0.1:0").await.ok()
}

async fn listen_tls(broker: Broker<Unbound>, tls: ServerTls) -> Option<Broker<Listening>> {
    broker.listen_tls("127.0.0.1:0", tls).await.ok()
}

//! SASL mechanisms with their initial responses.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    config::{Credentials, Mechanism as Name},
    proto::{Mechanism, Secret},
    wire::{FieldTable, ShortString, Value},
};

/// The mechanisms that the configuration allows, the preferred first.
pub(super) fn mechanisms(allowed: &[Name], credentials: &Credentials) -> Vec<Mechanism> {
    allowed
        .iter()
        .map(|name| Mechanism {
            name: ShortString::new(name.name()).unwrap_or_default(),
            response: Secret(response(*name, credentials)),
        })
        .collect()
}

fn response(name: Name, credentials: &Credentials) -> Bytes {
    let (user, password) = (credentials.user.as_bytes(), credentials.password.reveal().as_bytes());
    match name {
        // RFC 4616: authorization identity, user and password, each after a NUL.
        Name::Plain => {
            let mut response = BytesMut::with_capacity(user.len() + password.len() + 2);
            response.put_u8(0);
            response.put_slice(user);
            response.put_u8(0);
            response.put_slice(password);
            response.freeze()
        }
        // RabbitMQ's own: the content of a field table.
        Name::Amqplain => {
            let mut response = FieldTable::new();
            // The names are short; the values are long strings, so nothing here can fail.
            let _ = response.insert("LOGIN", Value::LongString(Bytes::copy_from_slice(user)));
            let _ =
                response.insert("PASSWORD", Value::LongString(Bytes::copy_from_slice(password)));
            response.encode()
        }
        _ => Bytes::new(),
    }
}

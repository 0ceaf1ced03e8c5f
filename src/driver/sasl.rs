//! SASL mechanisms with their initial responses.

use bytes::{BufMut, Bytes};
use zeroize::Zeroizing;

use crate::{
    config::{self, Credentials, Mechanism as Name},
    proto::{Mechanism, Secret},
    wire::ShortString,
};

/// The mechanisms that the configuration allows, the preferred first.
pub(super) fn mechanisms(allowed: &[Name], credentials: &Credentials) -> Vec<Mechanism> {
    allowed
        .iter()
        .map(|name| Mechanism {
            name: ShortString::new(name.name()).unwrap_or_default(),
            response: response(*name, credentials),
        })
        .collect()
}

/// A secret as the protocol takes it.
pub(super) fn secret(secret: &config::Secret) -> Secret {
    wiped(secret.reveal().as_bytes().to_vec())
}

fn response(name: Name, credentials: &Credentials) -> Secret {
    let (user, password) = (credentials.user.as_bytes(), credentials.password.reveal().as_bytes());
    // With room for all of it, since growing would leave a copy behind.
    let mut response = Vec::with_capacity(user.len() + password.len() + 32);
    match name {
        // RFC 4616: authorization identity, user and password, each after a NUL.
        Name::Plain => {
            response.put_u8(0);
            response.put_slice(user);
            response.put_u8(0);
            response.put_slice(password);
        }
        // RabbitMQ's own: the content of a field table of two long strings.
        Name::Amqplain => {
            put_entry(&mut response, b"LOGIN", user);
            put_entry(&mut response, b"PASSWORD", password);
        }
        // Who we are is in the certificate, or is nobody.
        Name::External | Name::Anonymous => {}
    }
    wiped(response)
}

fn put_entry(table: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    table.put_u8(name.len() as u8);
    table.put_slice(name);
    table.put_u8(b'S');
    table.put_u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
    table.put_slice(value);
}

/// Bytes that are overwritten when the last clone is dropped.
fn wiped(bytes: Vec<u8>) -> Secret {
    Secret(Bytes::from_owner(Zeroizing::new(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{FieldTable, RawTable, Value};

    #[test]
    fn the_response_of_amqplain_is_a_table() {
        let response = response(Name::Amqplain, &Credentials::new("me", "hunter2"));
        let table = RawTable::new(&response.0).decode().expect("a table");
        let expected = FieldTable::new().with("LOGIN", Value::from("me"));
        let expected = expected.and_then(|table| table.with("PASSWORD", Value::from("hunter2")));
        assert_eq!(table, expected.expect("short names"));
    }

    #[test]
    fn the_response_of_plain_is_user_and_password_behind_zeros() {
        let response = response(Name::Plain, &Credentials::new("me", "hunter2"));
        assert_eq!(response.0, b"\0me\0hunter2".as_slice());
        assert_eq!(format!("{response:?}"), "Secret(..)");
    }
}

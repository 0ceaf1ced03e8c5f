//! What an order is, and how one is shipped.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use hopmq::service::{Failure, Message};
use serde::{Deserialize, Serialize};

/// An order, as it comes in and as it is in messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub customer: String,
    pub apples: u32,
}

/// Ships orders, as long as there are apples.
#[derive(Debug)]
pub struct Warehouse {
    inner: Mutex<Stock>,
}

#[derive(Debug)]
struct Stock {
    apples: u32,
    shipped: BTreeMap<String, u32>,
}

impl Warehouse {
    pub fn new(apples: u32) -> Self {
        Warehouse { inner: Mutex::new(Stock { apples, shipped: BTreeMap::new() }) }
    }

    /// Ships an order. What is not in stock may be later; what nobody can ship never will be.
    pub fn ship(&self, order: Message<Order>) -> Result<(), Failure> {
        let Order { customer, apples } = order.payload;
        if apples == 0 {
            return Err(Failure::permanent("an order of nothing"));
        }
        let mut stock = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(left) = stock.apples.checked_sub(apples) else {
            let have = stock.apples;
            return Err(Failure::retry(format!("{apples} apples wanted, {have} in stock")));
        };
        stock.apples = left;
        *stock.shipped.entry(customer).or_default() += apples;
        Ok(())
    }

    /// More apples arrive.
    pub fn restock(&self, apples: u32) {
        let mut stock = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        stock.apples = stock.apples.saturating_add(apples);
    }

    /// How many apples went to a customer.
    pub fn shipped_to(&self, customer: &str) -> u32 {
        let stock = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        stock.shipped.get(customer).copied().unwrap_or_default()
    }
}

//! What makes the hooks of a connection.
use std::fmt;
use std::sync::Arc;

use crate::fsm::supervisor::Hooks;

/// Makes the hooks of each connection; see [`Config::hooks`](super::Config::hooks).
#[derive(Clone)]
pub struct MakeHooks(Arc<dyn Fn() -> Hooks + Send + Sync>);

impl MakeHooks {
    pub(super) fn new(make: impl Fn() -> Hooks + Send + Sync + 'static) -> Self {
        MakeHooks(Arc::new(make))
    }

    pub(crate) fn make(&self) -> Hooks {
        (self.0)()
    }
}

impl PartialEq for MakeHooks {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for MakeHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MakeHooks")
    }
}

//! The state machine and the supervisor, without any protocol and on virtual time.

mod closing;
mod crowd;
mod guide;
mod hooks;
mod link;
mod machine;
mod scripted;
mod sequences;
mod snapshots;
mod supervisor;
mod waits;

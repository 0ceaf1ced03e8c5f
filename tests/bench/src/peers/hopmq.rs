//! placeholder
use crate::{job::*, meter::Meter};
pub struct HopMq { pub threads: usize }
impl Peer for HopMq {
    fn name(&self) -> &'static str { if self.threads == 1 { "hopmq" } else { "hopmq-2-threads" } }
    fn version(&self) -> String { crate::peers::locked("hopmq") }
    fn offers(&self, _: Workload) -> bool { false }
    fn run(&self, _: &Job, _: &mut Meter) -> Result<(), Failure> { Ok(()) }
}

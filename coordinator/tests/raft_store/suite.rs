//! openraft's own tests of a log and a state machine.

use std::sync::Arc;

use mesh_coordinator::consensus::log::LogStore;
use mesh_coordinator::consensus::machine::StateMachine;
use mesh_coordinator::consensus::types::Types;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};

use crate::fixture::Disk;

struct Builder;

impl StoreBuilder<Types, LogStore, StateMachine, Disk> for Builder {
    async fn build(&self) -> Result<(Disk, LogStore, StateMachine), StorageError<Types>> {
        let disk = Disk::new();
        let open = disk.open().expect("an empty disk opens");
        Ok((disk, LogStore::new(Arc::clone(&open.wal)), StateMachine::new(open.store)))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_and_state_machine_pass_the_suite_of_openraft() {
    Suite::test_all(Builder).await.expect("the suite passes");
}

//! A log that is synced when somebody else says so, as under simulation.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mesh_coordinator::store::wal::{self, Synced, Wal};

use crate::fixture::{Disk, entry, position};

/// Holds every sync back.
#[derive(Default)]
struct Paced {
    due: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
    opened: AtomicUsize,
}

impl Paced {
    fn sync(&self) {
        let sync = self.due.lock().expect("no panic").remove(0);
        sync();
    }

    fn due(&self) -> usize {
        self.due.lock().expect("no panic").len()
    }
}

impl wal::Disk for Paced {
    fn opened(&self) {
        self.opened.fetch_add(1, Ordering::SeqCst);
    }

    fn written(&self, sync: Box<dyn FnOnce() + Send>) {
        self.due.lock().expect("no panic").push(sync);
    }
}

fn counted(count: &Arc<AtomicUsize>) -> Synced {
    let count = Arc::clone(count);
    Box::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
    })
}

#[test]
fn nothing_is_acknowledged_before_the_disk_says_so_and_the_next_sync_covers_the_rest() {
    let (disk, paced, told) = (Disk::new(), Arc::new(Paced::default()), Arc::new(AtomicUsize::new(0)));
    let open = |must_exist| {
        let paced = Arc::clone(&paced) as Arc<dyn wal::Disk>;
        Wal::open_on(&disk.path("log"), must_exist, disk.fatal.clone(), Some(paced)).expect("it opens")
    };
    let wal = open(false);
    assert_eq!((paced.opened.load(Ordering::SeqCst), paced.due()), (1, 0), "what was found is synced");
    for index in 0..3 {
        wal.append(vec![entry(index)], counted(&told)).expect("written");
    }
    assert_eq!((told.load(Ordering::SeqCst), paced.due()), (0, 1), "one sync at a time");
    paced.sync();
    assert_eq!((told.load(Ordering::SeqCst), paced.due()), (1, 1), "the others were written after it was asked for");
    paced.sync();
    assert_eq!((told.load(Ordering::SeqCst), paced.due()), (3, 0));
    drop(wal);
    assert_eq!(open(true).state().last, Some(position(2)));
    disk.assert_alive();
}

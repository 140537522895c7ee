//! The thread that syncs files, so that segments of the journal are free again, and makes segments beforehand.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::segment::Segment;

/// What the thread is to do. There is no more of it than there are segments.
pub(super) enum Task {
    /// Make a segment.
    Make { number: u64, bytes: u64 },
    /// Sync the files that the entries of a segment went to.
    Clear {
        segment: Segment,
        /// The last block that it or one before it has.
        through: u64,
        files: Vec<Arc<File>>,
    },
}

/// A segment that can be used.
pub(super) struct Cleared {
    pub segment: Segment,
    /// The last block that is in files now; `None` if the segment is new.
    pub through: Option<u64>,
}

/// The thread's two ends.
pub(super) struct Checkpoints {
    tasks: Option<Sender<Task>>,
    cleared: Receiver<io::Result<Cleared>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    pub fn start(directory: &Path) -> io::Result<Self> {
        let ((tasks, receiver), (sender, cleared)) = (channel(), channel());
        let directory = directory.to_owned();
        let thread = std::thread::Builder::new().name("checkpoint".to_owned());
        let thread = thread.spawn(move || run(&directory, &receiver, &sender))?;
        Ok(Self { tasks: Some(tasks), cleared, thread: Some(thread) })
    }

    pub fn begin(&self, task: Task) -> io::Result<()> {
        let begun = self.tasks.as_ref().map(|tasks| tasks.send(task));
        begun.and_then(Result::ok).ok_or_else(ended)
    }

    /// A segment that became usable meanwhile.
    pub fn cleared(&self) -> Option<io::Result<Cleared>> {
        self.cleared.try_recv().ok()
    }

    /// Waits for a segment.
    pub fn wait(&self) -> io::Result<Cleared> {
        self.cleared.recv().unwrap_or_else(|_| Err(ended()))
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.tasks = None;
        // It has no way to panic; and if it had, nobody would wait for it.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn ended() -> io::Error {
    io::Error::other("the thread that syncs files has ended")
}

fn run(directory: &Path, tasks: &Receiver<Task>, done: &Sender<io::Result<Cleared>>) {
    while let Ok(task) = tasks.recv() {
        let cleared = match task {
            Task::Make { number, bytes } => {
                Segment::create(directory, number, bytes).map(|segment| Cleared { segment, through: None })
            }
            Task::Clear { segment, through, files } => {
                let synced = files.iter().try_for_each(|file| file.sync_all());
                synced.map(|()| Cleared { segment, through: Some(through) })
            }
        };
        let failed = cleared.is_err();
        // After an error nothing that comes later may be taken for synced.
        if done.send(cleared).is_err() || failed {
            return;
        }
    }
}

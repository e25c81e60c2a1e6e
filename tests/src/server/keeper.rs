use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender};
use std::thread;

/// What is to be started, and where to say what came of it.
type Request = (Command, Sender<io::Result<Child>>);

/// Starts a process from a thread that lasts as long as this process.
///
/// What is tied to the life of its parent is tied to the thread that started it, and tests come
/// and go with threads of their own.
pub(super) fn spawn(command: Command) -> io::Result<Child> {
    static KEEPER: OnceLock<Sender<Request>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (keeper, requests) = mpsc::channel::<Request>();
        thread::spawn(move || {
            for (mut command, answer) in requests {
                // Whoever asked and went away is a test that panicked.
                let _ = answer.send(command.spawn());
            }
        });
        keeper
    });
    let (answer, answered) = mpsc::channel();
    let gone = |_| io::Error::other("the thread that starts servers is gone");
    keeper.send((command, answer)).map_err(|_| gone(()))?;
    answered.recv().map_err(|_| gone(()))?
}

//! Standard error, on which nothing depends.
//!
//! A leader goes on leading when its log cannot be written: the disk is full, the reader of a pipe
//! has gone or reads nothing, the terminal was closed. So each line is handed to a thread, which
//! alone may have to wait; what cannot be written is dropped, and counted.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use rustix::event::{PollFd, PollFlags, Timespec};
use tracing_subscriber::fmt::MakeWriter;

/// So many lines may wait to be written.
const QUEUE: usize = 1024;

/// How long the end of the process waits for them to be written.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// How long a full pipe that does not block is waited for.
const FULL_MAX: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Writes `text`, one line or several, in its turn. Never blocks, fails or panics.
pub(crate) fn write(text: impl Into<Vec<u8>>) {
    let sink = Sink::get();
    if sink.queue.try_send(Message::Text(text.into())).is_err() {
        sink.lost.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits until all lines are written, but not for long: for the end of the process.
pub(crate) fn flush() {
    let Some(sink) = SINK.get() else { return };
    let end = Instant::now() + FLUSH_MAX;
    let (done, is_done) = crossbeam_channel::bounded(1);
    if sink.queue.send_deadline(Message::Flush(done), end).is_ok() {
        let _ = is_done.recv_deadline(end);
    }
}

/// Has panics told here: std's own way of telling them may block, as any other writing may.
pub(crate) fn take_panics() {
    std::panic::set_hook(Box::new(|panic| {
        use std::backtrace::{Backtrace, BacktraceStatus};

        let thread = thread::current();
        let name = thread.name().unwrap_or("<unnamed>");
        let mut text = format!("thread {name:?} {panic}\n");
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            text.push_str(&backtrace.to_string());
        }
        write(text);
    }));
}

/// For `tracing`.
#[derive(Debug)]
pub(crate) struct Log;

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        Log
    }
}

/// Each event comes in one call.
impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Sink {
    queue: Sender<Message>,
    /// How many lines nobody will see.
    lost: Arc<AtomicU64>,
}

enum Message {
    Text(Vec<u8>),
    Flush(Sender<()>),
}

static SINK: OnceLock<Sink> = OnceLock::new();

impl Sink {
    fn get() -> &'static Sink {
        SINK.get_or_init(|| {
            let (queue, messages) = crossbeam_channel::bounded(QUEUE);
            let lost = Arc::new(AtomicU64::new(0));
            let count = lost.clone();
            let write = move || match io::stderr().as_fd().try_clone_to_owned() {
                // Not through std's lock, which a panic elsewhere would have to wait for.
                Ok(descriptor) => Writer::new(File::from(descriptor), count).write_all(&messages),
                Err(_) => Writer::new(io::stderr(), count).write_all(&messages),
            };
            // Without a thread nothing is told: the exit code has to do.
            let _ = thread::Builder::new().name("tenure-stderr".to_owned()).spawn(write);
            Sink { queue, lost }
        })
    }
}

/// What is on the thread.
struct Writer<W> {
    output: W,
    lost: Arc<AtomicU64>,
    /// Whether the last line was written in part.
    is_torn: bool,
}

impl<W: AsFd + Write> Writer<W> {
    fn new(output: W, lost: Arc<AtomicU64>) -> Writer<W> {
        Writer { output, lost, is_torn: false }
    }

    fn write_all(mut self, messages: &Receiver<Message>) {
        for message in messages {
            match message {
                Message::Text(text) => self.write_or_count(&text),
                Message::Flush(done) => {
                    let _ = done.send(());
                }
            }
        }
    }

    fn write_or_count(&mut self, text: &[u8]) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let notice = format!("tenure: {lost} lines could not be written here\n");
            if self.write_one(notice.as_bytes()).is_err() {
                self.lost.fetch_add(lost.saturating_add(1), Ordering::Relaxed);
                return;
            }
        }
        if self.write_one(text).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn write_one(&mut self, text: &[u8]) -> io::Result<()> {
        if would_be_stopped(&self.output) {
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut rest = text.to_vec();
        if self.is_torn {
            rest.insert(0, b'\n');
        }
        let mut rest = &rest[..];
        while !rest.is_empty() {
            match self.output.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    rest = rest.get(written..).unwrap_or_default();
                    self.is_torn = !rest.is_empty();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let mut output = [PollFd::new(&self.output, PollFlags::OUT)];
                    if !rustix::event::poll(&mut output, Some(&FULL_MAX))
                        .is_ok_and(|ready| ready > 0)
                    {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Whether this process would be stopped for writing: by a terminal that is set to (`stty tostop`),
/// while it is in the background of it. A leader that is stopped is one that loses its lease.
fn would_be_stopped(output: &impl AsFd) -> bool {
    use rustix::termios::{LocalModes, tcgetattr, tcgetpgrp};

    let is_background =
        tcgetpgrp(output).is_ok_and(|foreground| foreground != rustix::process::getpgrp());
    is_background
        && tcgetattr(output).is_ok_and(|modes| modes.local_modes.contains(LocalModes::TOSTOP))
}

//! The command of `tenure run`, as a process.
//!
//! It is started as tenure itself, which asks the kernel to be killed with its parent, stops, and
//! becomes the command when it is told to go on. While it is stopped the watchdog starts: there is
//! no moment in which the command runs and nobody would end it.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions};

use crate::args::ExecOptions;
use crate::failure::{self, Failure};
use crate::group::{self, Starter};
use crate::search::{self, NoProgram};
use crate::setuid;

/// A command that was found.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    path: PathBuf,
    command: Vec<OsString>,
}

impl Program {
    /// Finds the command as the shell would.
    pub(crate) fn find(command: &[OsString]) -> Result<Program, Failure> {
        let name = command.first().map(OsString::as_os_str).unwrap_or_default();
        match search::find(name) {
            Ok(path) => Ok(Program { path, command: command.to_vec() }),
            Err(NoProgram::NotExecutable) => Err(Failure::new(
                failure::NOT_EXECUTABLE,
                format_args!("command {name:?} cannot be executed"),
            )),
            Err(NoProgram::NotFound) => Err(Failure::new(
                failure::NOT_FOUND,
                format_args!("command {name:?} does not exist"),
            )),
        }
    }

    /// Refuses a program that may become another user's, where tenure could not end it then.
    pub(crate) fn refuse_setuid(&self) -> Result<(), Failure> {
        let Some(why) = setuid::may_escape(&self.path) else { return Ok(()) };
        let path = &self.path;
        Err(Failure::new(
            failure::NOT_EXECUTABLE,
            format_args!(
                "command {path:?} {why}: tenure could not end it when leadership is lost, and the \
                 next leader's would run beside it; run tenure as root, or give --allow-setuid"
            ),
        ))
    }
}

/// This program, to be run once more. Also when the file that it came from has been replaced.
pub(crate) fn own_command() -> Result<Command, Failure> {
    // Of a file that was replaced the kernel says another name, which nothing has.
    let path = match std::env::current_exe() {
        Ok(path) if path.exists() => path,
        Ok(_) | Err(_) => PathBuf::from("/proc/self/exe"),
    };
    if !path.exists() {
        return Err(Failure::new(failure::SYSTEM, "this program is not where it was any more"));
    }
    let mut command = Command::new(path);
    command.arg0("tenure");
    Ok(command)
}

/// How a process ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exit {
    Code(u8),
    Signal(u8),
}

impl Exit {
    /// As the shell says it.
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Code(code) => code,
            Exit::Signal(signal) => failure::SIGNAL.saturating_add(signal),
        }
    }
}

/// A process that leads its group, and has not been waited for: its number is its own until it is
/// [reaped](Child::reap).
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
}

impl Child {
    /// Starts what will be `program` once it may [go on](Child::go_on).
    pub(crate) fn start(
        starter: &Starter,
        program: &Program,
        names: &[(&str, String)],
        may_read_terminal: bool,
    ) -> Result<Child, Failure> {
        let failed = |error| Failure::system("cannot start the command", &error);
        let is_kept = may_read_terminal || !std::io::stdin().is_terminal();
        let stdin = if is_kept { Stdio::inherit() } else { Stdio::null() };
        let mut command = own_command()?;
        command
            .arg("exec")
            .arg(format!("--parent={}", std::process::id()))
            .arg("--program")
            .arg(&program.path)
            .arg("--")
            .args(&program.command)
            .envs(names.iter().map(|(name, value)| (name, value)))
            .stdin(stdin)
            .process_group(0);
        let child = starter.start(command).map_err(failed)?;
        let child = Child { pid: Pid::from_child(&child) };
        // Until it has stopped, or ended.
        let options = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let _ =
            rustix::io::retry_on_intr(|| rustix::process::waitid(WaitId::Pid(child.pid), options));
        // This stop is no news.
        let _ = child.stopped_by();
        Ok(child)
    }

    pub(crate) fn group(&self) -> Pid {
        self.pid
    }

    /// Becomes the command.
    pub(crate) fn go_on(&self) {
        let _ = rustix::process::kill_process(self.pid, Signal::CONT);
    }

    /// The signal that stopped it since this was last asked.
    pub(crate) fn stopped_by(&self) -> Option<i32> {
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        rustix::process::waitid(WaitId::Pid(self.pid), options).ok()??.stopping_signal()
    }

    /// How it ended, if it has. It is not waited for.
    pub(crate) fn exit(&self) -> Option<Exit> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = rustix::process::waitid(WaitId::Pid(self.pid), options).ok()??;
        let number = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Some(Exit::Code(number(code & 0xff))),
            (None, Some(signal)) => Some(Exit::Signal(number(signal))),
            (None, None) => None,
        }
    }

    /// Waits for it, and gives its number back.
    pub(crate) fn reap(&self) {
        let _ = rustix::io::retry_on_intr(|| {
            rustix::process::waitpid(Some(self.pid), WaitOptions::empty())
        });
    }
}

/// The hidden subcommand: becomes the command.
pub(crate) fn exec(options: &ExecOptions) -> Result<u8, Failure> {
    let orphaned = || Failure::silent(failure::SYSTEM);
    group::die_with_parent()
        .map_err(|error| Failure::system("cannot ask to be killed with tenure", &error))?;
    if !group::is_parent(options.parent) {
        return Err(orphaned());
    }
    // If tenure dies now and the kernel does not kill this with it, this stays as it is; and looks
    // for its parent once more, should anybody have it go on.
    rustix::process::kill_process(rustix::process::getpid(), Signal::STOP)
        .map_err(|error| Failure::system("cannot stop", &error))?;
    if !group::is_parent(options.parent) {
        return Err(orphaned());
    }
    let Some((name, arguments)) = options.command.split_first() else { return Err(orphaned()) };
    let error = Command::new(&options.program).arg0(name).args(arguments).exec();
    let code = match error.kind() {
        std::io::ErrorKind::NotFound => failure::NOT_FOUND,
        _ => failure::NOT_EXECUTABLE,
    };
    Err(Failure::new(code, format_args!("cannot execute {name:?}: {error}")))
}

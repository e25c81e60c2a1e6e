//! Who may do what with a store, and what is said to those who may not.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use tenure_core::BlockingClaimer;
use tenure_sqlite::{OpenError, SqliteClaimer};

use crate::processes::{Process, say};
use crate::support::*;

/// The id that Debian and most others give to nobody.
const NOBODY: u32 = 65_534;

/// Says what becomes of opening the store in each way, and of the leader in it.
pub(crate) fn unprivileged(path: &Path) {
    say(match SqliteClaimer::open(path) {
        Ok(_) => "opened".to_owned(),
        Err(
            error @ (OpenError::Foreign { .. } | OpenError::Io { .. } | OpenError::ReadOnly { .. }),
        ) => error.to_string(),
        Err(error) => format!("{error:?}"),
    });
    let look = SqliteClaimer::open_to_look(path);
    say(match look.as_ref().map(|look| look.leader(&service("mysql")).unwrap()) {
        Ok(Some(leader)) => format!("{} leads", leader.unit),
        Ok(None) => "nobody leads".to_owned(),
        Err(error) => error.to_string(),
    });
}

/// Opens the store as a user for whom the permission bits count: they do not stop root, which is
/// what the tests may be run as.
fn as_nobody(bench: &Bench) -> [String; 2] {
    let user = is_root().then_some(NOBODY);
    start_as(user, "unprivileged", &bench.path).ends().try_into().unwrap()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn start_as(user: Option<u32>, role: &str, store: &Path) -> Process {
    let exe = std::env::current_exe().unwrap();
    let spawn = |exe: &Path| {
        let mut command = Command::new(exe);
        if let Some(user) = user {
            command.uid(user).gid(user).current_dir("/");
        }
        Process::spawn(role, store, &mut command)
    };
    let process = spawn(&exe).or_else(|_| {
        // Where that user may not go, it is given a copy.
        let place = tempfile::tempdir().unwrap().keep();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
        let copy = place.join("it");
        fs::copy(&exe, &copy).unwrap();
        let process = spawn(&copy);
        fs::remove_dir_all(&place).unwrap();
        process
    });
    process.unwrap()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn who_may_only_read_looks_and_cannot_claim_and_leaves_nothing_behind() {
    let bench = Bench::new();
    let claimer = SqliteClaimer::open(&bench.path).unwrap();
    granted(claimer.claim(&unit(0), LEASE));
    set_mode(bench.directory.path(), 0o755);
    set_mode(&bench.path, 0o444);

    // While somebody has it open.
    let owner = fs::metadata(&bench.path).unwrap().uid();
    let user = if owner == 0 { NOBODY } else { owner };
    let read_only = format!(
        "store {0:?} is read-only: user {user} may not write to {0:?}, which belongs to user \
         {owner} (mode 444): Permission denied (os error 13)",
        bench.path
    );
    assert_eq!(as_nobody(&bench), [read_only.clone(), "mysql/0 leads".to_owned()]);
    assert_eq!(bench.files(), ["leases.db", "leases.db-shm", "leases.db-wal"]);

    // When nobody has: whether or not the directory could be written to.
    drop(claimer);
    for mode in [0o555, 0o777] {
        set_mode(bench.directory.path(), mode);
        assert_eq!(as_nobody(&bench), [read_only.clone(), "mysql/0 leads".to_owned()]);
        assert_eq!(bench.files(), ["leases.db"]);
    }
    set_mode(&bench.path, 0o666);
    set_mode(bench.directory.path(), 0o555);
    let [open, look] = as_nobody(&bench);
    assert_eq!(
        open,
        format!("cannot open store {:?}: Permission denied (os error 13)", bench.path)
    );
    assert_eq!(look, "mysql/0 leads");
    assert_eq!(bench.files(), ["leases.db"]);
    set_mode(bench.directory.path(), 0o755);
}

#[test]
fn who_may_not_even_read_is_told_so() {
    let bench = Bench::new();
    let denied = format!("cannot open store {:?}: Permission denied (os error 13)", bench.path);
    set_mode(bench.directory.path(), 0o555);
    let missing = format!("store {:?} does not exist", bench.path);
    assert_eq!(as_nobody(&bench), [denied.clone(), missing]);
    set_mode(bench.directory.path(), 0o777);
    assert_eq!(bench.files(), [""; 0]);
    drop(SqliteClaimer::open(&bench.path).unwrap());
    set_mode(&bench.path, 0o000);
    assert_eq!(as_nobody(&bench), [denied.clone(), denied.clone()]);
    set_mode(bench.directory.path(), 0o000);
    assert_eq!(as_nobody(&bench), [denied.clone(), denied]);
    set_mode(bench.directory.path(), 0o755);
    assert_eq!(bench.files(), ["leases.db"]);
}

#[test]
fn a_log_that_another_user_left_is_named_with_its_owner_and_what_to_do() {
    const OTHER: u32 = NOBODY - 1;
    if !is_root() {
        eprintln!("left out: only root can be several users");
        return;
    }
    let setting = fs::read_to_string("/proc/sys/fs/protected_regular").unwrap_or_default();
    let is_protected = !matches!(setting.trim(), "" | "0");
    for log_mode in [0o644, 0o666] {
        let bench = Bench::new();
        set_mode(bench.directory.path(), 0o1777);
        let mut holder = start_as(Some(OTHER), "claim", &bench.path);
        assert_eq!(holder.hear().as_deref(), Some("granted"));
        set_mode(&bench.path, 0o666);
        let [wal, shm] =
            ["-wal", "-shm"].map(|suffix| bench.path.with_file_name(format!("leases.db{suffix}")));
        [&wal, &shm].into_iter().for_each(|file| set_mode(file, log_mode));
        let is_kept_out = log_mode == 0o644 || is_protected;
        let said = format!(
            "store {:?} cannot be used: {wal:?} belongs to user {OTHER} (mode {log_mode:o}), and \
             this process runs as user {NOBODY}: ",
            bench.path
        );
        let check = || {
            let [open, look] = as_nobody(&bench);
            if is_kept_out {
                assert!(open.starts_with(&said), "{open}");
                assert_eq!(open.contains("fs.protected_regular="), log_mode == 0o666, "{open}");
                assert!(open.contains("let user 65533 run \"tenure status\" on the"), "{open}");
            } else {
                assert_eq!(open, "opened");
            }
            assert_eq!(look, "mysql/7 leads");
        };
        check();
        // Nobody else can ever lead: what is left is there for good.
        drop(holder);
        check();
        // What the error tells to do helps.
        assert_eq!(start_as(Some(OTHER), "unprivileged", &bench.path).ends()[1], "mysql/7 leads");
        assert_eq!(as_nobody(&bench), ["opened", "mysql/7 leads"]);
    }
}

#[test]
fn a_directory_in_place_of_the_log_is_named() {
    for suffix in ["-wal", "-shm"] {
        let bench = Bench::new();
        drop(SqliteClaimer::open(&bench.path).unwrap());
        let obstacle = bench.directory.path().join(format!("leases.db{suffix}"));
        fs::create_dir(&obstacle).unwrap();
        let error = SqliteClaimer::open(&bench.path).unwrap_err();
        let said = format!(
            "store {:?} cannot be used: {obstacle:?} is not a regular file: move it away",
            bench.path
        );
        assert_eq!(error.to_string(), said);
    }
}

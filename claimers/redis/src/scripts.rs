use redis::{Cmd, Script, cmd};

/// The scripts that run at the server. One is one atomic operation there.
#[derive(Debug)]
pub(crate) struct Scripts {
    pub(crate) claim: Lua,
    pub(crate) look: Lua,
    pub(crate) release: Lua,
    pub(crate) attempt: Lua,
}

/// A script, and the digest by which a server knows it.
#[derive(Debug)]
pub(crate) struct Lua {
    code: String,
    digest: String,
}

impl Scripts {
    pub(crate) fn new() -> Scripts {
        Scripts {
            claim: Lua::new(include_str!("scripts/claim.lua").to_owned()),
            look: Lua::new(include_str!("scripts/look.lua").to_owned()),
            release: Lua::new(include_str!("scripts/release.lua").to_owned()),
            attempt: Lua::new(include_str!("scripts/attempt.lua").to_owned()),
        }
    }
}

impl Lua {
    fn new(code: String) -> Lua {
        let digest = Script::new(&code).get_hash().to_owned();
        Lua { code, digest }
    }

    /// The user's own script, behind a look at the term.
    pub(crate) fn guarded(code: &str) -> Lua {
        Lua::new(include_str!("scripts/guard.lua").replace("--{}", code))
    }

    /// Runs it at a server that has it already.
    pub(crate) fn by_digest(&self, keys: &[&str], arguments: &[&[u8]]) -> Cmd {
        call("EVALSHA", &self.digest, keys, arguments)
    }

    /// Runs it at a server that may not know it.
    pub(crate) fn in_full(&self, keys: &[&str], arguments: &[&[u8]]) -> Cmd {
        call("EVAL", &self.code, keys, arguments)
    }
}

fn call(command: &str, script: &str, keys: &[&str], arguments: &[&[u8]]) -> Cmd {
    let mut command = cmd(command);
    command.arg(script).arg(keys.len());
    for key in keys {
        command.arg(key);
    }
    for argument in arguments {
        command.arg(argument);
    }
    command
}

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::postgres::{is_greeting, own, user};
use super::{Engine, Ports, ServerError, find, tied};

/// A pooler of transactions.
#[derive(Debug)]
pub(super) struct PgBouncer {
    pub(super) postgres: SocketAddr,
}

impl Engine for PgBouncer {
    fn package(&self) -> (&'static str, &'static str) {
        ("pgbouncer", "pgbouncer")
    }

    fn prepare(&self, directory: &Path) -> Result<(), ServerError> {
        own(directory)
    }

    fn command(&self, directory: &Path, ports: Ports) -> Result<Command, ServerError> {
        let (host, port) = (self.postgres.ip(), self.postgres.port());
        // Two connections for all clients, each of which gets now this one and now that.
        let settings = format!(
            "[databases]\n\
             * = host={host} port={port} user=postgres\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {}\n\
             unix_socket_dir =\n\
             auth_type = any\n\
             pool_mode = transaction\n\
             default_pool_size = 2\n\
             max_client_conn = 500\n",
            ports.clients
        );
        let path = directory.join("pgbouncer.ini");
        fs::write(&path, settings)?;
        let (program, package) = self.package();
        let mut command = tied(&find(program, package)?, user());
        command.arg(path);
        Ok(command)
    }

    fn is_ready(&self, ports: Ports) -> bool {
        is_greeting(ports)
    }
}

use std::io;

use redis::{Cmd, Value, cmd};
use tenure_net::{Endpoint, Secret, Tls, TlsError, connect};

use crate::error::StoreError;
use crate::facts::{Facts, text};
use crate::scripts::Lua;
use crate::wire::Wire;

/// A connection whose server has let us in and has said what it is.
#[derive(Debug)]
pub(crate) struct Session {
    wire: Wire,
    /// None where this user may not ask for them.
    pub(crate) facts: Option<Facts>,
}

/// Who to be at a server, and where in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Login {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) database: u32,
}

impl Session {
    /// Connects, and asks all that has to be known in one round trip.
    pub(crate) async fn open(
        endpoint: &Endpoint,
        tls: Option<&Tls>,
        login: &Login,
    ) -> Result<Session, StoreError> {
        let stream = connect(endpoint, tls).await.map_err(of_tls)?;
        let is_secure = stream.is_secure();
        let mut wire = Wire::new(stream);
        match Session::begin(&mut wire, login).await {
            Ok(facts) => Ok(Session { wire, facts }),
            // A server refuses a client's certificate only after the client is through with it.
            Err(StoreError::Io(error)) if is_secure => Err(of_tls(error)),
            Err(StoreError::Io(error)) if !wire.has_spoken() => Err(StoreError::Hung(error)),
            Err(error) => Err(error),
        }
    }

    async fn begin(wire: &mut Wire, login: &Login) -> Result<Option<Facts>, StoreError> {
        let (entering, mut commands) = login.commands().into_iter().unzip::<_, _, Vec<_>, Vec<_>>();
        commands.push(cmd("INFO"));
        let mut config = cmd("CONFIG");
        config.arg("GET").arg("*append*");
        commands.push(config);
        commands.push(cmd("TIME"));
        wire.send(&commands).await?;
        for step in entering {
            if let Value::ServerError(error) = wire.receive().await? {
                return Err(match (step, StoreError::of_server(&error, &[])) {
                    (Step::Auth, StoreError::Server { said }) => {
                        StoreError::Authentication { said }
                    }
                    (Step::Select { database }, StoreError::Server { .. }) => {
                        StoreError::NoDatabase { database }
                    }
                    (Step::Auth | Step::Select { .. }, error) => error,
                });
            }
        }
        let info = wire.receive().await?;
        let config = wire.receive().await?;
        let time = wire.receive().await?;
        match (&info, text(&info)) {
            (_, Some(info)) => Facts::read(&info, &config, &time).map(Some),
            (Value::ServerError(error), None) => match StoreError::of_server(error, &[]) {
                StoreError::Permission { .. } | StoreError::Unsupported { .. } => Ok(None),
                error => Err(error),
            },
            (_, None) => Err(StoreError::NotRedis),
        }
    }

    /// Whether it can be used once more.
    pub(crate) async fn is_quiet(&mut self) -> bool {
        self.wire.is_quiet().await
    }

    /// Runs `script` on `keys`.
    ///
    /// A server that does not know the script says so and has done nothing, so that it is sent in
    /// full then.
    pub(crate) async fn run(
        &mut self,
        script: &Lua,
        keys: &[&str],
        arguments: &[&[u8]],
    ) -> Result<Value, StoreError> {
        let mut reply = self.ask(script.by_digest(keys, arguments)).await?;
        if matches!(&reply, Value::ServerError(error) if error.code() == "NOSCRIPT") {
            reply = self.ask(script.in_full(keys, arguments)).await?;
        }
        match reply {
            Value::ServerError(error) => Err(StoreError::of_server(&error, keys)),
            reply => Ok(reply),
        }
    }

    /// Has all that is published on `channel` sent here, and nothing else from now on.
    pub(crate) async fn subscribe(mut self, channel: &str) -> Result<Wire, StoreError> {
        let mut subscribe = cmd("SUBSCRIBE");
        subscribe.arg(channel);
        match self.ask(subscribe).await? {
            Value::ServerError(error) => Err(StoreError::of_server(&error, &[])),
            _ => {
                self.wire.listen();
                Ok(self.wire)
            }
        }
    }

    async fn ask(&mut self, command: Cmd) -> Result<Value, StoreError> {
        self.wire.send(&[command]).await?;
        self.wire.receive().await
    }
}

/// What is done before anything is asked.
#[derive(Clone, Copy, Debug)]
enum Step {
    Auth,
    Select { database: u32 },
}

impl Login {
    fn commands(&self) -> Vec<(Step, Cmd)> {
        let mut commands = Vec::new();
        if let Some(password) = &self.password {
            let mut auth = cmd("AUTH");
            auth.arg(self.user.as_deref()).arg(password.expose());
            commands.push((Step::Auth, auth));
        }
        if self.database != 0 {
            let mut select = cmd("SELECT");
            select.arg(self.database);
            commands.push((Step::Select { database: self.database }, select));
        }
        commands
    }
}

/// What is wrong with what the other side has said in TLS, or with the connection below it.
fn of_tls(error: io::Error) -> StoreError {
    if let Some(error) = TlsError::inside(&error) {
        return StoreError::TlsOptions(error);
    }
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => StoreError::Tls(error),
        _ => StoreError::Io(error),
    }
}

use tenure_postgres::PostgresOptions;
use tenure_testkit::server::{Flood, Server, psql};

use crate::{On, alone, each_call_fails_in_time, each_wait_fails, speech};

/// A message of the protocol, that says how long it is.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    announced(kind, body.len() + 4, body)
}

/// One that says it is `len` bytes long.
fn announced(kind: u8, len: usize, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(len).unwrap().to_be_bytes();
    [&[kind][..], &len, body].concat()
}

#[test]
fn postgres_may_send_without_end() {
    let _alone = alone();
    let server = Server::postgres(&[]).unwrap();
    let flood = Flood::new(server.address()).unwrap();
    let url = format!("postgres://postgres@{}/postgres", flood.address());
    let open = || PostgresOptions::from_url(&url).unwrap().open();
    let let_in = message(b'R', &[0; 4]);
    let gigabyte = (1 << 30) - 1;
    let fields = |severity: &str| format!("S{severity}\0V{severity}\0C01000\0Mx\0\0");
    let parameters: Vec<u8> =
        (0..6000).flat_map(|number| message(b'S', format!("{number}\0\0").as_bytes())).collect();
    let speeches = |let_in: &[u8]| {
        let after = |head: &[u8]| [let_in, head].concat();
        [
            speech("notices", let_in, message(b'N', fields("NOTICE").as_bytes())),
            speech("warnings", let_in, message(b'N', fields("WARNING").as_bytes())),
            speech("notices that say nothing", let_in, message(b'N', b"\0")),
            speech("parameters", let_in, &parameters),
            speech("rows without columns", let_in, message(b'D', &[0; 2])),
            speech("notifications", let_in, message(b'A', b"\0\0\0\0channel\0hello\0")),
            speech("a row of a gigabyte", after(&announced(b'D', gigabyte, b"")), "x"),
            speech("an error of a gigabyte", after(&announced(b'E', gigabyte, b"M")), "x"),
        ]
    };
    // Where nothing but a refusal may come, what else comes is refused for that; and a
    // notice has to say something.
    let words = ["bytes", "is not a Postgres server", "the connection was lost before"];
    each_call_fails_in_time(&flood, open, &[On::New], &speeches(&let_in), &words);
    each_call_fails_in_time(&flood, open, &[On::Used], &speeches(&[]), &words);

    let speeches = [
        speech("notifications", "", message(b'A', b"\0\0\0\0channel\0hello\0")),
        speech("notices", "", message(b'N', fields("NOTICE").as_bytes())),
        speech("a notification of a gigabyte", announced(b'A', gigabyte, b""), "x"),
    ];
    let is_waiting = || {
        let listening = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%remaining_us%' \
                         AND state = 'idle' AND pid <> pg_backend_pid()";
        psql(server.address(), listening).unwrap() != "0"
    };
    each_wait_fails(&flood, open, is_waiting, &speeches);
}

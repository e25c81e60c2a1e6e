use tenure_etcd::EtcdOptions;
use tenure_testkit::server::{Flood, Server};

use crate::{On, alone, each_call_fails_in_time, each_wait_fails, speech};

#[test]
fn etcd_may_send_without_end() {
    let _alone = alone();
    let server = Server::etcd(&[]).unwrap();
    let flood = Flood::new(server.address()).unwrap();
    let url = format!("etcd://{}", flood.address());
    let open = || EtcdOptions::from_url(&url).unwrap().open();
    let begins = "HTTP/1.1 200 OK\r\n";
    let chunked = format!("{begins}Transfer-Encoding: chunked\r\n\r\n");
    let values = format!("{chunked}14\r\n{{\"header\":{{}},\"kvs\":[\r\n");
    let speeches = [
        speech("headers", begins, "a: b\r\n"),
        speech("a header without an end", format!("{begins}a: "), "b"),
        speech("a first line without an end", "HTTP/1.1 200 O", "K"),
        speech("promises of an answer", "", "HTTP/1.1 100 Continue\r\n\r\n"),
        speech("a gigabyte", format!("{begins}Content-Length: 1073741824\r\n\r\n"), "x"),
        speech("what ends when it is closed", format!("{begins}\r\n"), "x"),
        speech("many chunks", &chunked, "1\r\nx\r\n"),
        speech("a chunk without an end", format!("{chunked}40000000\r\n"), "x"),
        speech("many values", values, "3\r\n{},\r\n"),
    ];
    let words = ["bytes", "message head is too large"];
    each_call_fails_in_time(&flood, open, &[On::New, On::Used], &speeches, &words);

    let event = "{\"result\":{\"events\":[]}}\n";
    let speeches = [
        speech("lines", "", format!("{:x}\r\n{event}\r\n", event.len())),
        speech("a line without an end", "", "1\r\n \r\n"),
    ];
    // The watch is the third connection, or the second.
    each_wait_fails(&flood, open, || true, &speeches);
}

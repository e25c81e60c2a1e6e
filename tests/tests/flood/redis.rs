use tenure_redis::RedisOptions;
use tenure_testkit::server::{Flood, Server, redis_cli};

use crate::{On, alone, each_call_fails_in_time, each_wait_fails, speech};

#[test]
fn redis_may_send_without_end() {
    let _alone = alone();
    let server = Server::redis(&["--appendonly", "no"]).unwrap();
    let flood = Flood::new(server.address()).unwrap();
    let url = format!("redis://{}/?hold_off=unsafely-never", flood.address());
    let open = || RedisOptions::from_url(&url).unwrap().open();
    let speeches = [
        speech("an array of a thousand million", "*1000000000\r\n", ":1\r\n"),
        speech("as many maps as fit", "", "%8000\r\n"),
        speech("a string of half a gigabyte", "$536870912\r\n", "x"),
        speech("a string that is as long as one may be", "$1048576\r\n", "x"),
        speech("a line without an end", "+", "x"),
        speech("a line of half line ends", "+", "x\n"),
        speech("arrays in arrays", "", "*1\r\n"),
    ];
    let words = ["bytes", "values"];
    each_call_fails_in_time(&flood, open, &[On::New, On::Used], &speeches, &words);

    let channel = "tenure:changed:0:{mysql}";
    let message = |payload: &str| {
        format!("*3\r\n$7\r\nmessage\r\n${}\r\n{channel}\r\n$5\r\n{payload}\r\n", channel.len())
    };
    let speeches = [
        speech("renewals", "", message("60000")),
        speech("messages that mean nothing", "", message("hello")),
        speech("a message without an end", "+", "x"),
    ];
    let is_waiting = || {
        let channels = redis_cli(server.address(), &["PUBSUB", "NUMSUB", channel]).unwrap();
        !channels.ends_with('0')
    };
    each_wait_fails(&flood, open, is_waiting, &speeches);
}

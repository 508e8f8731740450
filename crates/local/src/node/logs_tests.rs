use futures_util::StreamExt as _;

use super::*;

fn query() -> LogQuery {
    LogQuery { namespace: "ns".into(), pod: "p".into(), container: "c".into(), ..LogQuery::default() }
}

async fn text(logs: &Logs, query: LogQuery) -> String {
    let chunks: Vec<Bytes> = logs.read(query).expect("a log").collect().await;
    String::from_utf8(chunks.concat()).expect("text")
}

#[tokio::test]
async fn the_last_lines_their_times_and_the_run_before_can_be_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let logs = Logs::new(directory.path().to_owned());
    let first = logs.begin("ns", "p", "c", 0).expect("a log");
    first.line("stdout", "old");
    first.close();
    let second = logs.begin("ns", "p", "c", 1).expect("a log");
    for line in ["one", "two words", "three"] {
        second.line("stderr", line);
    }
    assert_eq!(text(&logs, query()).await, "one\ntwo words\nthree\n");
    assert_eq!(text(&logs, LogQuery { tail_lines: Some(1), ..query() }).await, "three\n");
    assert_eq!(text(&logs, LogQuery { previous: true, ..query() }).await, "old\n");
    assert_eq!(text(&logs, LogQuery { limit_bytes: Some(5), ..query() }).await, "one\nt");
    let stamped = text(&logs, LogQuery { timestamps: true, tail_lines: Some(1), ..query() }).await;
    let (time, rest) = stamped.split_once(' ').expect("a time");
    assert!(time.parse::<Timestamp>().is_ok() && rest == "three\n", "{stamped}");
    let later = Timestamp::now() + jiff::SignedDuration::from_secs(60);
    assert_eq!(text(&logs, LogQuery { since: Some(later), ..query() }).await, "");
    assert_eq!(logs.last_line("ns", "p", "c").as_deref(), Some("three"));
    assert!(logs.read(LogQuery { container: "none".into(), ..query() }).is_err());
}

#[tokio::test]
async fn a_follower_sees_every_line_once_and_ends_with_the_container() {
    let directory = tempfile::tempdir().expect("a directory");
    let logs = Logs::new(directory.path().to_owned());
    let log = logs.begin("ns", "p", "c", 0).expect("a log");
    log.line("stdout", "0");
    let follower = tokio::spawn({
        let stream = logs.read(LogQuery { follow: true, ..query() }).expect("a log");
        stream.collect::<Vec<Bytes>>()
    });
    for number in 1..500 {
        log.line("stdout", &number.to_string());
        if number % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    log.close();
    let seen = follower.await.expect("an end").concat();
    let want: String = (0..500).map(|number| format!("{number}\n")).collect();
    assert_eq!(String::from_utf8(seen).expect("text"), want);
}

#[tokio::test]
async fn a_long_log_is_moved_aside_once_and_still_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let logs = Logs::new(directory.path().to_owned());
    let log = logs.begin("ns", "p", "c", 0).expect("a log");
    let long = "x".repeat(1024 * 1024);
    for _ in 0..25 {
        log.line("stdout", &long);
    }
    log.line("stdout", "end");
    let kept: u64 = std::fs::read_dir(directory.path().join("ns/p/c"))
        .expect("a directory")
        .map(|entry| entry.expect("a file").metadata().expect("its size").len())
        .sum();
    assert!(kept < 23 * 1024 * 1024, "{kept}");
    assert_eq!(text(&logs, LogQuery { tail_lines: Some(1), ..query() }).await, "end\n");
}

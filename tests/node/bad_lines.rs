//! Lines that are refused one by one, among good ones.

use serde_json::json;

use super::fixture::{Node, SMS};

/// `(code, line)`
fn cases() -> Vec<(&'static str, Vec<u8>)> {
    let at = r#""received_at":"2018-03-01T10:00:00+03:00""#;
    let kiosk = |scores: &str| format!(r#"{{"type":"kiosk","record":1,{at},"scores":{scores}}}"#);
    let sms = |record: &str| format!(r#"{{"type":"sms","record":{record},{at},"text":"5"}}"#);
    let huge = "x".repeat(100_000);
    let texts = [
        ("malformed", "not JSON".to_owned()),
        ("malformed", "[1,2,3]".to_owned()),
        ("malformed", SMS[..SMS.len() - 1].to_owned()),
        ("malformed", format!("{SMS}{SMS}")),
        ("malformed", "[".repeat(60_000)),
        ("malformed", format!(r#"{{"type":"sms","x":{}"#, r#"{"a":"#.repeat(10_000))),
        ("malformed", r#"{"type":5}"#.to_owned()),
        ("malformed", format!(r#"{{"type":"sms","record":1,"text":5,{at}}}"#)),
        ("malformed", format!(r#"{{"type":"sms","record":1,{at}}}"#)),
        ("unknown_type", r#"{"type":"clock","hour":1}"#.to_owned()),
        ("unknown_type", r#"{"type":"drop table"}"#.to_owned()),
        ("bad_id", sms("-1")),
        ("bad_id", sms("1.5")),
        ("bad_id", sms("9223372036854775808")),
        ("bad_id", r#"{"type":"agency","id":"a\u0000b","name":"n"}"#.to_owned()),
        ("bad_id", format!(r#"{{"type":"agency","id":"{}","name":"n"}}"#, "a".repeat(65))),
        ("bad_date", SMS.replace("2018-03-01", "2018-02-30")),
        ("bad_date", SMS.replace("+03:00", "")),
        ("bad_date", r#"{"type":"target","unit":"u","from":"01.03.2018","percent":90}"#.to_owned()),
        ("bad_score", kiosk(r#"{"1":0}"#)),
        ("bad_score", kiosk(r#"{"1":6}"#)),
        ("bad_score", kiosk(r#"{"1":4.5}"#)),
        ("bad_score", kiosk(r#"{"1":-5}"#)),
        ("bad_criterion", kiosk(r#"{"9":5}"#)),
        ("bad_criterion", kiosk(r#"{"6":5}"#)),
        ("empty", kiosk("{}")),
        ("too_large", SMS.replace("\"5\"", &format!("\"{huge}\""))),
    ];
    let mut cases: Vec<_> =
        texts.into_iter().map(|(code, line)| (code, line.into_bytes())).collect();
    cases.push(("malformed", b"{\"type\":\"agency\",\"id\":\"a\0b\",\"name\":\"n\"}".to_vec()));
    cases.push(("malformed", b"\0\0\0\0".to_vec()));
    cases.push(("malformed", b"{\"type\":\"sms\",\"text\":\"\xff\"}".to_vec()));
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_line_is_refused_alone_with_its_code() {
    let node = Node::start().await;
    for (code, line) in cases() {
        let body = [SMS.as_bytes(), &line, SMS.as_bytes()].join(&b'\n');
        let answer = node.submit(body).await;
        let shown = String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
        assert_eq!(answer["accepted"], 2, "{shown}");
        assert_eq!(answer["refused"].as_array().map(Vec::len), Some(1), "{shown}");
        let refused = &answer["refused"][0];
        assert_eq!((&refused["line"], &refused["code"]), (&json!(2), &json!(code)), "{shown}");
        assert!(!refused["detail"].as_str().expect("a sentence").is_empty(), "{shown}");
    }
    let (_, metrics) = node.get("/metrics").await;
    let accepted = 2 * cases().len();
    assert!(metrics.contains(&format!("otklik_events_accepted_total{{type=\"sms\"}} {accepted}")));
    assert!(metrics.contains("otklik_events_refused_total{code=\"bad_score\"} 4"), "{metrics}");
    assert_eq!(node.stop().await, accepted);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_them_in_one_batch_are_told_apart() {
    let node = Node::start().await;
    let cases = cases();
    let lines: Vec<_> = cases.iter().map(|(_, line)| line.as_slice()).collect();
    let answer = node.submit(lines.join(&b'\n')).await;
    let expected: Vec<_> = (1..).zip(cases.iter().map(|(code, _)| *code)).collect();
    let refused = answer["refused"].as_array().expect("a list");
    let found: Vec<_> = refused
        .iter()
        .map(|refused| (refused["line"].as_u64().expect("n"), refused["code"].as_str().expect("c")))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(answer["accepted"], 0);
    assert_eq!(node.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_a_hundred_megabytes_harms_no_other() {
    let node = Node::with(|config| {
        config.limits.body_bytes = 1 << 30;
        config.limits.unpacked_bytes = 1 << 30;
    })
    .await;
    let mut body = format!("{SMS}\n").into_bytes();
    body.resize(body.len() + 100_000_000, b'x');
    body.extend(format!("\n{SMS}\n").into_bytes());
    let answer = node.submit(body).await;
    assert_eq!(answer["accepted"], 2);
    assert_eq!(answer["refused"][0]["line"], 2);
    assert_eq!(answer["refused"][0]["code"], "too_large");
    assert_eq!(node.stop().await, 2);
}

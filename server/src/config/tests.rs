//! Which source wins, and what a wrong value is told.

use super::*;

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn refused(text: &str) -> String {
    Config::load(Settings::default(), Some(file(text).path())).unwrap_err().to_string()
}

#[test]
fn without_any_source_the_defaults_hold() {
    let config = Config::load(Settings::default(), None).unwrap();
    assert_eq!(config.data.path(), Path::new("xbook-data"));
    assert_eq!(config.listen, "127.0.0.1:7001".parse().unwrap());
    assert_eq!(config.peer_listen, "127.0.0.1:7101".parse().unwrap());
    assert_eq!(config.log, LogConfig::default());
    assert_eq!(config.document_size.bytes(), 8 << 20);
    assert_eq!(config.shutdown_grace.duration(), Duration::from_secs(10));
}

#[test]
fn what_is_given_wins_over_the_file_and_the_file_over_the_defaults() {
    let file = file(
        "data = \"filed\"\nlisten = \"[::1]:1\"\nlog_format = \"json\"\nlog_filter = \"warn\"\n\
         shutdown_grace = \"250ms\"",
    );
    let given = Settings { listen: Some("127.0.0.2:2".parse().unwrap()), ..Settings::default() };
    let config = Config::load(given, Some(file.path())).unwrap();
    assert_eq!(config.listen, "127.0.0.2:2".parse().unwrap());
    assert_eq!(config.data.path(), Path::new("filed"));
    assert_eq!(config.log, LogConfig { format: LogFormat::Json, filter: LogFilter::new("warn").unwrap() });
    assert_eq!(config.shutdown_grace.duration(), Duration::from_millis(250));
}

#[test]
fn a_key_that_is_no_setting_is_refused_with_those_that_are() {
    let error = refused("data = \"here\"\nlisten_address = \"127.0.0.1:1\"");
    assert!(error.contains("unknown field `listen_address`"), "{error}");
    assert!(error.contains("line 2"), "{error}");
    assert!(error.contains("`shutdown_grace`"), "{error}");
}

#[test]
fn a_value_that_breaks_its_rule_is_quoted_with_the_rule() {
    for (text, parts) in [
        ("data = \"\"", ["must not be empty", "\"\""]),
        ("listen = \"localhost\"", ["an IP address and a port such as 127.0.0.1:7001", "\"localhost\""]),
        ("join = [\"http://a:1\"]", ["a host and a port such as 10.0.0.1:7001", "\"http://a:1\""]),
        ("join = [\"a:0\"]", ["a host and a port", "\"a:0\""]),
        ("log_format = \"xml\"", ["must be \"text\" or \"json\"", "\"xml\""]),
        ("log_filter = \"xbook=loud\"", ["levels by module", "\"xbook=loud\""]),
        ("log_filter = \"nonsense\"", ["nothing that logs is named \"nonsense\"", "xbook or xnode"]),
        ("log_filter = \"xbok=debug\"", ["nothing that logs is named \"xbok\"", "levels by module"]),
        ("log_filter = \" \"", ["levels by module", "it is empty"]),
        ("document_size = \"1KiB\"", ["from 64.0 KiB to 1.0 GiB", "\"1KiB\""]),
        ("document_size = \"large\"", ["a number and a unit such as \"64MiB\"", "\"large\""]),
        ("threads = 0", ["from 1 to 256", "\"0\""]),
        ("threads = -1", ["a whole number", "\"-1\""]),
        ("threads = 257", ["from 1 to 256", "\"257\""]),
        ("shutdown_grace = \"10\"", ["a whole number and a unit (ms, s or m)", "\"10\""]),
        ("shutdown_grace = \"soon\"", ["a whole number and a unit (ms, s or m)", "\"soon\""]),
        ("shutdown_grace = \"11m\"", ["at most 600s", "\"11m\""]),
        ("shutdown_grace = \"99999999999999999999s\"", ["a whole number", "\"99999999999999999999s\""]),
    ] {
        let error = refused(text);
        for part in parts {
            assert!(error.contains(part), "{part:?} is not in {error}");
        }
        assert!(error.contains("line 1"), "{error}");
    }
}

#[test]
fn a_first_node_joins_nobody() {
    assert!(Config::load(Settings::default(), Some(file("bootstrap = true").path())).unwrap().bootstrap);
    assert_eq!(
        refused("bootstrap = true\njoin = [\"a:1\"]"),
        "bootstrap begins a cluster and join names nodes of one: only one of them can be set"
    );
}

#[test]
fn who_listens_everywhere_says_where_others_reach_it() {
    for (listen, port) in [("0.0.0.0:7002", 7002), ("[::]:9", 9)] {
        let error = refused(&format!("listen = \"{listen}\""));
        assert_eq!(
            error,
            format!(
                "a node that listens on {listen}, on every address of its machine, must say where others reach it: \
                 add --advertise HOST:{port}, or listen on one address"
            )
        );
        let told = file(&format!("listen = \"{listen}\"\nadvertise = \"node2.example:7002\""));
        assert_eq!(Config::load(Settings::default(), Some(told.path())).unwrap().listen.port(), port);
    }
    let error = refused("peer_listen = \"0.0.0.0:8\"");
    assert!(error.contains("add --peer-advertise HOST:8"), "{error}");
    assert!(refused("listen = \"127.0.0.1:65500\"").contains("add --peer-listen IP:PORT"));
    let free = file("listen = \"127.0.0.1:0\"");
    assert_eq!(Config::load(Settings::default(), Some(free.path())).unwrap().peer_listen.port(), 0);
}

#[test]
fn a_token_is_not_repeated() {
    let error = refused("join_token = \"c0ffee\"");
    assert!(error.contains("a join token is 32 hex digits") && !error.contains("but it is"), "{error}");
    let token = file("join_token = \"00112233445566778899aabbccddeeff\"");
    let config = Config::load(Settings::default(), Some(token.path())).unwrap();
    assert_eq!(config.join_token.unwrap().0[..2], [0, 0x11]);
    assert!(!format!("{config:?}").contains("17"), "{config:?}");
}

#[test]
fn a_node_does_not_join_itself() {
    for text in [
        "join = [\"127.0.0.1:7101\"]",
        "peer_listen = \"127.0.0.1:9\"\njoin = [\"127.0.0.1:9\"]",
        "peer_advertise = \"a:9\"\njoin = [\"a:9\", \"127.0.0.1:7101\"]",
    ] {
        let error = refused(text);
        assert!(error.starts_with("join names only this node itself ("), "{error}");
    }
    // The same list on each node is fine.
    let list = file("peer_listen = \"127.0.0.1:9\"\njoin = [\"127.0.0.1:9\", \"127.0.0.1:8\"]");
    assert_eq!(Config::load(Settings::default(), Some(list.path())).unwrap().join.len(), 2);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::load(Settings::default(), Some(Path::new("no/such.toml"))).unwrap_err().to_string();
    assert!(error.starts_with("the configuration file no/such.toml can't be read: "), "{error}");
}

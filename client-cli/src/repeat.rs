//! The command line that repeats a request.

/// `args` with the request's id, so that a repeat is told from a new request. `expires` replaces a
/// relative expiry: `--expires 10m` would be another time, and thereby another request, when
/// typed again.
pub fn command(args: &[String], request_id: &str, expires: Option<&str>) -> String {
    let mut words: Vec<String> = vec!["xcli".to_owned()];
    let mut rest = args.iter().skip(1);
    let mut named = false;
    while let Some(word) = rest.next() {
        named |= word == "--request-id" || word.starts_with("--request-id=");
        match (word.as_str(), expires) {
            ("--expires", Some(time)) => {
                rest.next();
                words.extend(["--expires".to_owned(), time.to_owned()]);
            }
            (option, Some(time)) if option.starts_with("--expires=") => {
                words.push(format!("--expires={time}"));
            }
            _ => words.push(quoted(word)),
        }
    }
    if !named {
        words.extend(["--request-id".to_owned(), quoted(request_id)]);
    }
    words.join(" ")
}

/// The command line as it was typed.
pub fn line(args: &[String]) -> String {
    let words = args.iter().skip(1).map(|word| quoted(word));
    std::iter::once("xcli".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// The word as a shell reads it back.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+./:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    fn repeated(line: &str, expires: Option<&str>) -> String {
        let args: Vec<String> = line.split('|').map(str::to_owned).collect();
        super::command(&args, "r1", expires)
    }

    #[test]
    fn the_id_is_added_once() {
        assert_eq!(repeated("/bin/xcli|buy|1|A/B|2", None), "xcli buy 1 A/B 2 --request-id r1");
        assert_eq!(repeated("xcli|buy|1|A/B|2|--request-id=r1", None), "xcli buy 1 A/B 2 --request-id=r1");
    }

    #[test]
    fn a_relative_expiry_is_fixed() {
        let fixed = |line| repeated(line, Some("2030-01-01T00:00:00Z"));
        assert_eq!(
            fixed("xcli|buy|--expires|10m"),
            "xcli buy --expires 2030-01-01T00:00:00Z --request-id r1"
        );
        assert_eq!(
            fixed("xcli|buy|--expires=10m"),
            "xcli buy --expires=2030-01-01T00:00:00Z --request-id r1"
        );
    }

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(
            repeated("xcli|--account|it's me|cancel", None),
            r"xcli --account 'it'\''s me' cancel --request-id r1"
        );
    }
}

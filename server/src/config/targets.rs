//! What a log filter may name: a directive with a name that nothing logs under would be obeyed
//! without a word, and the log stay empty.

/// The known names, for the one who wrote another.
pub(super) const KNOWN: &str = "use a level alone, xbook or xnode (also with a module, such as xbook::api), or one \
     of the libraries automerge, axum, h2, hyper, hyper_util, tonic, tower and tower_http";

/// The crates that log.
const CRATES: [&str; 10] =
    ["xbook", "xnode", "automerge", "axum", "h2", "hyper", "hyper_util", "tonic", "tower", "tower_http"];

/// The modules of `xbook`. The pure core logs nothing.
const MODULES: [&str; 10] =
    ["api", "config", "frames", "history", "layers", "mirror", "node", "peer", "store", "telemetry"];

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The first name in a filter that nothing logs under. The filter's form has been checked.
pub(super) fn unknown(filter: &str) -> Option<&str> {
    directives(filter).filter_map(target).find(|target| !is_logged(target))
}

/// A filter's directives: what is between commas that are not in a span's brackets.
fn directives(filter: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_u32;
    filter.split(move |char| {
        match char {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        char == ',' && depth == 0
    })
}

/// The name in `name[span]=level`; none in a level, or a span, alone.
fn target(directive: &str) -> Option<&str> {
    let name = directive.split(['[', '=']).next().unwrap_or_default().trim();
    let level = name.parse::<u8>().is_ok() || LEVELS.iter().any(|level| level.eq_ignore_ascii_case(name));
    (!name.is_empty() && !level).then_some(name)
}

fn is_logged(target: &str) -> bool {
    let mut path = target.split("::");
    let (name, module) = (path.next().unwrap_or_default(), path.next());
    CRATES.contains(&name) && (name != "xbook" || module.is_none_or(|module| MODULES.contains(&module)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_nothing_logs_under_is_found() {
        for (filter, found) in [
            ("info", None),
            ("WARN,xbook=debug", None),
            ("3", None),
            ("xbook::api=trace,h2=warn,hyper=off", None),
            ("xnode=info", None),
            ("[call]=debug", None),
            ("xbook[call{method=a,account=b}]=debug,info", None),
            ("nonsense", Some("nonsense")),
            ("xbok=debug", Some("xbok")),
            ("info,xboo=debug", Some("xboo")),
            ("info,xbook::apis=debug", Some("xbook::apis")),
            ("xbook[call{method=a,account=b}]=debug,other[call]=info", Some("other")),
        ] {
            assert_eq!(unknown(filter), found, "{filter}");
        }
    }

    #[test]
    fn the_names_are_those_of_this_program() {
        let lock = include_str!("../../../Cargo.lock");
        for name in CRATES.iter().skip(2) {
            let package = format!("name = \"{}\"", name.replace('_', "-"));
            assert!(lock.contains(&package), "{name}");
            assert!(KNOWN.contains(name), "{name}");
        }
        let library = include_str!("../lib.rs");
        let modules: Vec<&str> = library
            .lines()
            .filter_map(|line| line.strip_prefix("pub mod ").or(line.strip_prefix("mod ")))
            .map(|line| line.trim_end_matches(';'))
            .collect();
        assert_eq!(modules, MODULES);
    }
}

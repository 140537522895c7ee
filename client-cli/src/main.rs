//! The binary `xcli`: see the library for how it is made.

fn main() -> std::process::ExitCode {
    xcli::main()
}

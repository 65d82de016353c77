//! The command line: `-ports 8080,9090 -message Hello -quiet`, with one dash or two.

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Flags {
    /// Where to listen.
    pub(crate) ports: Vec<u16>,
    /// What to say each second.
    pub(crate) message: String,
    /// Do not log requests.
    pub(crate) quiet: bool,
}

impl Flags {
    /// Reads the arguments; ports come from `-ports`, else from `$PORT`, else are 8080.
    pub(crate) fn parse(
        args: impl Iterator<Item = String>,
        port_variable: Option<String>,
    ) -> Result<Self, String> {
        let mut ports = port_variable.filter(|p| !p.is_empty()).unwrap_or("8080".to_owned());
        let mut flags = Self { ports: Vec::new(), message: "Hello".to_owned(), quiet: false };
        let mut args = args;
        while let Some(arg) = args.next() {
            let name = arg.trim_start_matches('-');
            let (name, value) = match name.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (name, None),
            };
            let mut value =
                || value.clone().or_else(|| args.next()).ok_or(format!("{arg}: no value"));
            match name {
                "ports" => ports = value()?,
                "message" => flags.message = value()?,
                "quiet" => flags.quiet = true,
                _ => return Err(format!("unknown argument {arg}")),
            }
        }
        let port = |text: &str| text.trim().parse().map_err(|_| format!("'{text}' is not a port"));
        flags.ports = ports.split(',').map(port).collect::<Result<_, _>>()?;
        Ok(flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_come_from_the_flag_then_the_variable_then_8080() {
        for (args, variable, expected) in [
            (vec![], None, Ok(vec![8080])),
            (vec![], Some("9000,9001"), Ok(vec![9000, 9001])),
            (vec!["-ports", "1,2"], Some("9000"), Ok(vec![1, 2])),
            (vec!["--ports=7"], None, Ok(vec![7])),
            (vec!["-ports", "x"], None, Err("'x' is not a port".to_owned())),
            (vec!["-nonsense"], None, Err("unknown argument -nonsense".to_owned())),
        ] {
            let args = args.into_iter().map(str::to_owned);
            let parsed = Flags::parse(args, variable.map(str::to_owned));
            assert_eq!(parsed.map(|flags| flags.ports), expected);
        }
    }
}

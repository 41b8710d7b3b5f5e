//! Text for the device's shell, and from it.

/// `text` as one word of a POSIX shell, whatever bytes it has.
pub fn quote(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+:=,@%".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// The free bytes in the output of `df -k DIR`. toybox and busybox print a header, then the file
/// system's name, sizes in KiB, the share in use and the mount point. busybox puts a long name on a
/// line of its own.
pub fn free_bytes(df: &str) -> Option<u64> {
    let fields: Vec<&str> = df.lines().skip(1).flat_map(str::split_whitespace).collect();
    let percent =
        |field: &str| field.strip_suffix('%').is_some_and(|n| n == "-" || n.parse::<u32>().is_ok());
    let share = fields.iter().position(|field| percent(field))?;
    let free = fields.get(share.checked_sub(1)?)?;
    free.parse::<u64>().ok()?.checked_mul(1024)
}

/// The value of the first line `key=value`.
pub fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.trim_end().strip_prefix(key)?.strip_prefix('='))
}

/// The last two lines that are not blank, joined.
pub fn last_words(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(2)..].join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_word_needs_no_quotes() {
        assert_eq!(quote("/data/local/tmp/a-b_c.swk"), "/data/local/tmp/a-b_c.swk");
    }

    #[test]
    fn special_characters_are_quoted() {
        assert_eq!(quote(""), "''");
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("$(reboot)"), "'$(reboot)'");
        assert_eq!(quote("~root"), "'~root'");
        assert_eq!(quote("it's"), r"'it'\''s'");
    }

    #[cfg(unix)]
    #[test]
    fn the_shell_returns_the_quoted_text() {
        for text in ["", "a b", "'", "''", "a'b\"c", "$HOME `id` \\ \n *", "é\u{1b}[m", "-n", "!x"]
        {
            let script = format!("printf %s {}", quote(text));
            let twice = format!("sh -c {}", quote(&script));
            let out = std::process::Command::new("sh").args(["-c", &twice]).output();
            assert_eq!(out.expect("sh runs").stdout, text.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn free_space_is_read_from_df() {
        let toybox = "Filesystem       1K-blocks     Used Available Use% Mounted on\n\
                      /dev/block/dm-45 114717676 37521268  77065336  33% /data\n";
        assert_eq!(free_bytes(toybox), Some(77_065_336 << 10));
        let busybox = "Filesystem           1K-blocks      Used Available Use% Mounted on\n\
                       /dev/disk/by-uuid/00000000-0000-0000\n\
                       \x20                       499656     20480    479176   4% /data\n";
        assert_eq!(free_bytes(busybox), Some(479_176 << 10));
        assert_eq!(
            free_bytes("Filesystem 1K-blocks Used Available Use% Mounted on\nrootfs 0 0 0 -% /\n"),
            Some(0)
        );
        assert_eq!(free_bytes("df: /data: No such file"), None);
        assert_eq!(free_bytes("h\n5%"), None);
    }

    #[test]
    fn last_words_are_one_line() {
        assert_eq!(last_words("a\n\nb\n c \n"), "b; c");
        assert_eq!(last_words(""), "");
    }
}

//! What an entry of a layer means: names, links and kinds in, a step to take or a refusal out.
//! Pure; nothing here touches a disk.

/// The longest name of one path component.
pub const NAME_BYTES_MAX: usize = 255;
/// The longest path, and the longest target of a link.
pub const PATH_BYTES_MAX: usize = 4095;
/// The most directories one inside another.
pub const DEPTH_MAX: usize = 200;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
const RESERVED: &[u8] = b".wh..wh.";

/// A path below the root: no `.`, no `..`, no empty part; the root itself has no parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct InnerPath(Vec<u8>);

/// What kind of thing an archive's entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file with content.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Another name of a file in the same archive.
    Hardlink,
    /// A named pipe.
    Fifo,
    /// A character device and its numbers.
    CharDevice(u32, u32),
    /// A block device.
    BlockDevice,
    /// Anything else, by its type byte.
    Other(u8),
}

/// What to do for an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Make a directory, or give the one that is there its attributes.
    Directory(InnerPath),
    /// Write a file.
    File(InnerPath),
    /// Make a symbolic link to exactly this text.
    Symlink(InnerPath, Vec<u8>),
    /// Make a second name for a file of the same archive.
    Hardlink(InnerPath, InnerPath),
    /// Make a named pipe.
    Fifo(InnerPath),
    /// Hide what lower layers have here.
    Whiteout(InnerPath),
    /// Hide all that lower layers have in this directory.
    Opaque(InnerPath),
    /// Nothing: bookkeeping of another tool.
    Skip,
}

/// How names are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// A layer: `.wh.` names hide things of lower layers.
    Layer,
    /// A plain archive: names mean themselves.
    Archive,
}

/// Decides what an entry means. The refusal is in words a person can use.
pub fn step(
    dialect: Dialect,
    kind: Kind,
    name: &[u8],
    link: Option<&[u8]>,
) -> Result<Step, String> {
    let path = InnerPath::parse(name)?;
    if dialect == Dialect::Layer
        && let Some((parent, base)) = path.split()
        && base.starts_with(WHITEOUT)
    {
        return whiteout(parent, base, name);
    }
    let needs_name = |step: Step| {
        if path.is_root() {
            Err(format!("'{}' is the root and can only be a directory", show(name)))
        } else {
            Ok(step)
        }
    };
    match kind {
        Kind::Directory => Ok(Step::Directory(path)),
        Kind::File => needs_name(Step::File(path.clone())),
        Kind::Fifo => needs_name(Step::Fifo(path.clone())),
        Kind::Symlink => needs_name(Step::Symlink(path.clone(), target(name, link)?.to_vec())),
        Kind::Hardlink => {
            let target = InnerPath::parse(target(name, link)?)
                .map_err(|why| format!("the hard link '{}' is refused: {why}", show(name)))?;
            needs_name(Step::Hardlink(path.clone(), target))
        }
        Kind::CharDevice(0, 0) if dialect == Dialect::Layer => {
            needs_name(Step::Whiteout(path.clone()))
        }
        Kind::CharDevice(..) | Kind::BlockDevice => Err(format!(
            "'{}' is a device; images may not bring devices, containers get their own",
            show(name)
        )),
        Kind::Other(byte) => {
            Err(format!("'{}' is of the unknown kind '{}'", show(name), byte.escape_ascii()))
        }
    }
}

/// Decides about an extended attribute: keep it, leave it, or refuse the archive.
pub fn keeps_attribute(name: &[u8]) -> Result<bool, String> {
    if name.starts_with(b"trusted.") {
        return Err(format!("it sets the attribute '{}', which is the kernel's own", show(name)));
    }
    Ok(name == b"security.capability" || name.starts_with(b"user."))
}

/// A name as a person may see it, cut to a bearable length.
pub fn show(name: &[u8]) -> String {
    const SHOWN: usize = 120;
    let cut = &name[..name.len().min(SHOWN)];
    let text: String = String::from_utf8_lossy(cut).chars().flat_map(char::escape_debug).collect();
    if name.len() > SHOWN { format!("{text}... ({} bytes)", name.len()) } else { text }
}

// === impl InnerPath ===

impl InnerPath {
    /// Reads a name as archives write it; a leading `/` means the root of the image.
    pub fn parse(name: &[u8]) -> Result<Self, String> {
        if name.len() > PATH_BYTES_MAX {
            return Err(format!("the name '{}' is longer than {PATH_BYTES_MAX} bytes", show(name)));
        }
        if name.contains(&0) {
            return Err(format!("the name '{}' holds a zero byte", show(name)));
        }
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in name.split(|b| *b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => return Err(format!("'{}' climbs out of the root by '..'", show(name))),
                part if part.len() > NAME_BYTES_MAX => {
                    let long = show(part);
                    return Err(format!("'{long}' is longer than {NAME_BYTES_MAX} bytes"));
                }
                part => parts.push(part),
            }
        }
        if parts.len() > DEPTH_MAX {
            return Err(format!("'{}' is deeper than {DEPTH_MAX} directories", show(name)));
        }
        Ok(Self(parts.join(&b'/')))
    }

    /// True for the root itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Its bytes, without a leading slash; `.` for the root.
    pub fn as_bytes(&self) -> &[u8] {
        if self.0.is_empty() { b"." } else { &self.0 }
    }

    /// The directory it is in, and its own name; `None` for the root.
    pub fn split(&self) -> Option<(Self, &[u8])> {
        if self.is_root() {
            return None;
        }
        match self.0.iter().rposition(|b| *b == b'/') {
            Some(slash) => Some((Self(self.0[..slash].to_vec()), &self.0[slash + 1..])),
            None => Some((Self::default(), &self.0)),
        }
    }

    /// Every directory above it, the outermost first, and then itself; the root has none.
    pub fn with_parents(&self) -> Vec<Self> {
        let ends = self.0.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
        let whole = (!self.is_root()).then_some(self.0.len());
        ends.chain(whole).map(|end| Self(self.0[..end].to_vec())).collect()
    }

    fn join(&self, name: &[u8]) -> Self {
        if self.is_root() {
            return Self(name.to_vec());
        }
        Self([&self.0[..], b"/", name].concat())
    }
}

impl std::fmt::Display for InnerPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "/{}", show(&self.0))
    }
}

fn whiteout(parent: InnerPath, base: &[u8], name: &[u8]) -> Result<Step, String> {
    if base == OPAQUE {
        return Ok(Step::Opaque(parent));
    }
    match &base[WHITEOUT.len()..] {
        b"" | b"." | b".." => Err(format!("the whiteout '{}' hides nothing sensible", show(name))),
        _ if base.starts_with(RESERVED) => Ok(Step::Skip),
        hidden => Ok(Step::Whiteout(parent.join(hidden))),
    }
}

fn target<'a>(name: &[u8], link: Option<&'a [u8]>) -> Result<&'a [u8], String> {
    match link {
        None | Some(b"") => Err(format!("the link '{}' leads nowhere", show(name))),
        Some(link) if link.len() > PATH_BYTES_MAX => {
            Err(format!("the link '{}' leads to more than {PATH_BYTES_MAX} bytes", show(name)))
        }
        Some(link) if link.contains(&0) => {
            Err(format!("the link '{}' leads to a name with a zero byte", show(name)))
        }
        Some(link) => Ok(link),
    }
}

#[cfg(test)]
mod tests;

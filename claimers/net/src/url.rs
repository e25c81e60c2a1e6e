use std::error::Error;
use std::fmt;

use percent_encoding::percent_decode_str;

use crate::Endpoint;

/// A store's URL: `scheme://user:password@host:port,host:port/path?option=value&option=value`.
///
/// User, password, host, path and values may be percent-encoded, and must be where they contain a
/// blank, a character that is not seen, or one of `/ ? # @ %`. What the form does not know is
/// refused, as it may be a mistake that names another store: a fragment, two slashes in a row, an
/// option that is empty or comes twice, a `%` without two hexadecimal digits. Neither its `Debug`
/// nor any error shows a password.
///
/// ```
/// use tenure_net::StoreUrl;
///
/// let url = StoreUrl::parse("redis://me:s%2Fcret@one,two:7000/0?prefix=jobs:", 6379)?;
/// assert_eq!(url.scheme, "redis");
/// assert_eq!(url.user.as_deref(), Some("me"));
/// assert_eq!(url.password.as_ref().map(|password| password.expose()), Some("s/cret"));
/// assert_eq!(url.endpoints[0].to_string(), "one:6379");
/// assert_eq!(url.endpoints[1].to_string(), "two:7000");
/// assert_eq!(url.path, "0");
/// assert_eq!(url.options, [("prefix".to_owned(), "jobs:".to_owned())]);
/// assert!(!format!("{url:?}").contains("cret"));
/// # Ok::<(), tenure_net::UrlError>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoreUrl {
    /// Which kind of store.
    pub scheme: String,
    /// Who to be, if anybody.
    pub user: Option<String>,
    /// The proof of it.
    pub password: Option<Secret>,
    /// The servers; at least one.
    pub endpoints: Vec<Endpoint>,
    /// What comes between the first slash and the question mark, without either.
    pub path: String,
    /// What comes after the question mark, in the order in which it is written.
    pub options: Vec<(String, String)>,
}

/// A text that is not shown to anybody by accident.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// What is wrong with a store's URL.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum UrlError {
    /// There is no `scheme://` at its start.
    NoScheme,
    /// There is no host where there should be one.
    NoHost,
    /// It has a blank in it, or a character that nobody sees, such as a newline at its end.
    NotSeen {
        /// The character.
        character: char,
        /// Where it is: how many characters come before it.
        position: usize,
    },
    /// A `%` is not followed by two hexadecimal digits.
    BadPercent {
        /// Which part it is in.
        part: &'static str,
    },
    /// It has a `#` in it: there are no fragments here.
    Fragment,
    /// Its path has two slashes in a row.
    DoubledSlash,
    /// There is a `?` or `&` with no option after it.
    EmptyOption,
    /// An option is given twice.
    RepeatedOption {
        /// Its name.
        option: String,
    },
    /// What comes after the colon of a host is no port.
    BadPort {
        /// The host.
        host: String,
    },
    /// There is an `@` after the host, as if a password were not encoded.
    StrayAt,
    /// A part is not UTF-8 once it is decoded.
    NotText {
        /// Which part.
        part: &'static str,
    },
    /// An option has no `=`.
    NoValue {
        /// Its name.
        option: String,
    },
    /// There is no such option.
    UnknownOption {
        /// Its name.
        option: String,
        /// Those that there are.
        known: &'static [&'static str],
    },
    /// A part makes no sense to this kind of store.
    Refused {
        /// Which part: an option's name, `path`, `user`.
        part: String,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for UrlError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UrlError::NoScheme => formatter.write_str("the URL has no scheme:// at its start"),
            UrlError::NoHost => formatter.write_str("the URL names no host, or a comma too many"),
            UrlError::NotSeen { character, position } => write!(
                formatter,
                "the URL has {character:?} in it, after {position} characters: leave it out, or \
                 write its bytes as %XX if it is meant"
            ),
            UrlError::BadPercent { part } => write!(
                formatter,
                "the URL's {part} has a % without two hexadecimal digits after it: write % as %25"
            ),
            UrlError::Fragment => {
                formatter.write_str("the URL has a # in it, which begins nothing here: write %23")
            }
            UrlError::DoubledSlash => formatter.write_str(
                "the URL's path has two slashes in a row, as if something were missing between \
                 them: leave one out, or write it as %2F",
            ),
            UrlError::EmptyOption => {
                formatter.write_str("the URL has a ? or & with no option after it: leave it out")
            }
            UrlError::RepeatedOption { option } => {
                write!(formatter, "the URL has the option {option:?} twice: leave one out")
            }
            UrlError::BadPort { host } => {
                write!(formatter, "what comes after {host:?} is not a port from 1 to 65535")
            }
            UrlError::StrayAt => formatter.write_str(
                "the URL has an @ after its host: in a user or password, write / as %2F, \
                 ? as %3F, # as %23, @ as %40 and % as %25; elsewhere write @ as %40",
            ),
            UrlError::NotText { part } => {
                write!(formatter, "the URL's {part} is not UTF-8 when it is decoded")
            }
            UrlError::NoValue { option } => {
                write!(formatter, "the URL's option {option:?} has no value: write {option}=VALUE")
            }
            UrlError::UnknownOption { option, known } => write!(
                formatter,
                "the URL has an option {option:?}, which is none of {}",
                known.join(", ")
            ),
            UrlError::Refused { part, reason } => write!(formatter, "the URL's {part}: {reason}"),
        }
    }
}

impl Error for UrlError {}

impl StoreUrl {
    /// Reads `url`. A host without a port has `default_port`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(url: &str, default_port: u16) -> Result<StoreUrl, UrlError> {
        // First of all: a newline at its end is no part of a name, nor of any other part.
        if let Some((position, character)) =
            url.chars().enumerate().find(|(_, character)| is_not_seen(*character))
        {
            return Err(UrlError::NotSeen { character, position });
        }
        let (scheme, rest) = url.split_once("://").ok_or(UrlError::NoScheme)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        if rest.contains('@') {
            return Err(UrlError::StrayAt);
        }
        let (credentials, hosts) = match authority.rsplit_once('@') {
            Some((credentials, hosts)) => (Some(credentials), hosts),
            None => (None, authority),
        };
        let (user, password) = match credentials {
            None => (None, None),
            Some("" | ":") => {
                let reason = "there is nothing before the @: leave it out".to_owned();
                return Err(UrlError::Refused { part: "user".to_owned(), reason });
            }
            Some(credentials) => match credentials.split_once(':') {
                None => (Some(credentials), None),
                Some((user, password)) => (Some(user), Some(password)),
            },
        };
        let user = user.filter(|user| !user.is_empty()).map(|user| decoded("user", user));
        let password = password.map(|password| decoded("password", password));
        let endpoints =
            hosts.split(',').map(|host| endpoint(host, default_port)).collect::<Result<_, _>>()?;
        if rest.contains('#') {
            return Err(UrlError::Fragment);
        }
        let (path, query) =
            rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        if path.contains("//") {
            return Err(UrlError::DoubledSlash);
        }
        let path = path.strip_prefix('/').unwrap_or(path);
        Ok(StoreUrl {
            scheme: scheme.to_owned(),
            user: user.transpose()?,
            password: password.transpose()?.map(Secret),
            endpoints,
            path: decoded("path", path)?,
            options: query.map_or_else(|| Ok(Vec::new()), options)?,
        })
    }

    /// The text of `url` as it may be shown: without a password.
    ///
    /// ```
    /// use tenure_net::StoreUrl;
    ///
    /// let shown = StoreUrl::without_password("redis://me:secret@one,two:7000/0?prefix=jobs:");
    /// assert_eq!(shown, "redis://me@one,two:7000/0?prefix=jobs:");
    /// assert_eq!(StoreUrl::without_password("redis://one"), "redis://one");
    /// ```
    pub fn without_password(url: &str) -> String {
        let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
        let Some((credentials, rest)) = rest.rsplit_once('@') else { return url.to_owned() };
        let user = credentials.split_once(':').map_or(credentials, |(user, _)| user);
        let at = if user.is_empty() { "" } else { "@" };
        format!("{scheme}://{user}{at}{rest}")
    }

    /// Hands each option to `take`, which says whether there is one of that name.
    ///
    /// # Errors
    ///
    /// The first that `take` does not know, or finds fault with.
    pub fn each_option(
        &self,
        known: &'static [&'static str],
        mut take: impl FnMut(&str, &str) -> Result<(), UrlError>,
    ) -> Result<(), UrlError> {
        for (option, value) in &self.options {
            if !known.contains(&option.as_str()) {
                return Err(UrlError::UnknownOption { option: option.clone(), known });
            }
            take(option, value)?;
        }
        Ok(())
    }
}

fn endpoint(text: &str, default_port: u16) -> Result<Endpoint, UrlError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or(UrlError::NoHost)?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    if host.is_empty() {
        return Err(UrlError::NoHost);
    }
    let host = decoded("host", host)?;
    if host.chars().any(|character| is_not_seen(character) || "/?#@,".contains(character)) {
        return Err(UrlError::NoHost);
    }
    let bad = || UrlError::BadPort { host: host.clone() };
    let port = match port {
        "" => default_port,
        _ => {
            let port = port.strip_prefix(':').ok_or_else(bad)?;
            let port = port.parse().map_err(|_| bad())?;
            if port == 0 {
                return Err(bad());
            }
            port
        }
    };
    Ok(Endpoint { host, port })
}

fn options(query: &str) -> Result<Vec<(String, String)>, UrlError> {
    let mut options: Vec<(String, String)> = Vec::new();
    for text in query.split('&') {
        let (name, value) = option(text)?;
        if options.iter().any(|(known, _)| *known == name) {
            return Err(UrlError::RepeatedOption { option: name });
        }
        options.push((name, value));
    }
    Ok(options)
}

fn option(text: &str) -> Result<(String, String), UrlError> {
    if text.is_empty() {
        return Err(UrlError::EmptyOption);
    }
    let (name, value) =
        text.split_once('=').ok_or_else(|| UrlError::NoValue { option: text.to_owned() })?;
    Ok((decoded("options", name)?, decoded("options", value)?))
}

/// Whether `character` is a blank, or one that is not seen where it stands.
fn is_not_seen(character: char) -> bool {
    let is_invisible = matches!(character,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}');
    character.is_control() || character.is_whitespace() || is_invisible
}

fn decoded(part: &'static str, text: &str) -> Result<String, UrlError> {
    let mut after_each = text.split('%').skip(1);
    let is_code = |after: &str| {
        let digits = after.as_bytes().get(..2).unwrap_or_default();
        digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit)
    };
    if !after_each.all(is_code) {
        return Err(UrlError::BadPercent { part });
    }
    match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(UrlError::NotText { part }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(url: &str) -> Vec<String> {
        let url = StoreUrl::parse(url, 7).unwrap();
        url.endpoints.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn several_servers_may_be_named() {
        assert_eq!(endpoints("etcd://one"), ["one:7"]);
        assert_eq!(
            endpoints("etcd://one:1,two,[::1]:3,[fe80::1]/x"),
            ["one:1", "two:7", "[::1]:3", "[fe80::1]:7"]
        );
    }

    #[test]
    fn every_part_may_be_left_out() {
        let url = StoreUrl::parse("x://h", 1).unwrap();
        let (user, password) = (url.user.as_deref(), url.password.as_ref());
        assert_eq!((user, password, url.path.as_str(), url.options.len()), (None, None, "", 0));
        let url = StoreUrl::parse("x://:secret@h?a=b%26c&d=", 1).unwrap();
        assert_eq!((url.user, url.path.as_str()), (None, ""));
        assert_eq!(url.password, Some(Secret::new("secret")));
        let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(url.options, [option("a", "b&c"), option("d", "")]);
    }

    #[test]
    fn what_is_encoded_is_meant() {
        let url = StoreUrl::parse("x://u%20:%0A%25@h/a%2F%2Fb%0A?c%3D=%20d", 1).unwrap();
        assert_eq!(url.user.as_deref(), Some("u "));
        assert_eq!(url.password, Some(Secret::new("\n%")));
        assert_eq!(url.path, "a//b\n");
        assert_eq!(url.options, [("c=".to_owned(), " d".to_owned())]);
    }

    #[test]
    fn what_is_wrong_is_named_and_no_password_is_shown() {
        let cases = [
            ("host:1", UrlError::NoScheme),
            ("x://", UrlError::NoHost),
            ("x://a,,b", UrlError::NoHost),
            ("x://u:secret@", UrlError::NoHost),
            ("x://[::1", UrlError::NoHost),
            ("x://a:0", UrlError::BadPort { host: "a".to_owned() }),
            ("x://a:65536", UrlError::BadPort { host: "a".to_owned() }),
            ("x://u:secret", UrlError::BadPort { host: "u".to_owned() }),
            ("x://[::1]9", UrlError::BadPort { host: "::1".to_owned() }),
            ("x://u:sec/ret@h", UrlError::StrayAt),
            ("x://u:sec?ret@h", UrlError::StrayAt),
            ("x://u:%FFsecret@h", UrlError::NotText { part: "password" }),
            ("x://h?secret", UrlError::NoValue { option: "secret".to_owned() }),
            ("x://u:secret@h\n", UrlError::NotSeen { character: '\n', position: 14 }),
            (" x://h", UrlError::NotSeen { character: ' ', position: 0 }),
            ("\u{feff}x://h", UrlError::NotSeen { character: '\u{feff}', position: 0 }),
            ("x://h, i", UrlError::NotSeen { character: ' ', position: 6 }),
            ("x://h/a\tb", UrlError::NotSeen { character: '\t', position: 7 }),
            ("x://h/\u{a0}", UrlError::NotSeen { character: '\u{a0}', position: 6 }),
            ("x://h?a=b\u{200b}", UrlError::NotSeen { character: '\u{200b}', position: 9 }),
            ("x://u:100%secret@h", UrlError::BadPercent { part: "password" }),
            ("x://h/100%", UrlError::BadPercent { part: "path" }),
            ("x://h/%2", UrlError::BadPercent { part: "path" }),
            ("x://h/%+1", UrlError::BadPercent { part: "path" }),
            ("x://%zz", UrlError::BadPercent { part: "host" }),
            ("x://h?a=%é", UrlError::BadPercent { part: "options" }),
            ("x://h%0A", UrlError::NoHost),
            ("x://h/a#b", UrlError::Fragment),
            ("x://h#", UrlError::Fragment),
            ("x://h//a", UrlError::DoubledSlash),
            ("x://h/a//", UrlError::DoubledSlash),
            ("x://h?", UrlError::EmptyOption),
            ("x://h?a=b&", UrlError::EmptyOption),
            ("x://h?a=b&&c=d", UrlError::EmptyOption),
            ("x://h?a=b&%61=c", UrlError::RepeatedOption { option: "a".to_owned() }),
        ];
        for (url, expected) in cases {
            let error = StoreUrl::parse(url, 1).unwrap_err();
            assert_eq!(error, expected, "{url}");
            let shown = !error.to_string().contains("secret") || url.contains("?secret");
            assert!(shown, "{error}");
        }
        for nobody in ["x://@h", "x://:@h"] {
            let error = StoreUrl::parse(nobody, 1).unwrap_err().to_string();
            assert_eq!(error, "the URL's user: there is nothing before the @: leave it out");
        }
        let url = StoreUrl::parse("x://u:secret@h?colour=red", 1).unwrap();
        let error = url.each_option(&["size"], |_, _| Ok(())).unwrap_err();
        let text = "the URL has an option \"colour\", which is none of size";
        assert_eq!(error.to_string(), text);
        assert!(!format!("{url:?}").contains("secret"));
    }
}

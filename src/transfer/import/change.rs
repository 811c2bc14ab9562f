//! Lines of a Dockerfile that set what a container runs.

use super::About;

impl About {
    /// Applies one line: `CMD ["a", "b"]`, `ENV NAME=VALUE`, `WORKDIR /data`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn change(&mut self, line: &str) -> Result<(), String> {
        let line = line.trim();
        let end = line.find([' ', '=', '\t']).unwrap_or(line.len());
        let (word, rest) = (line[..end].to_ascii_uppercase(), line[end..].trim_start_matches([' ', '=', '\t']));
        if rest.is_empty() {
            return Err("give an instruction and its value, as in 'CMD [\"sh\"]' or 'ENV NAME=VALUE'".into());
        }
        let run = &mut self.run;
        match word.as_str() {
            "CMD" => run.cmd = command(rest)?,
            "ENTRYPOINT" => run.entrypoint = command(rest)?,
            "ENV" => {
                let (name, value) = pair(rest)?;
                run.env.retain(|known| known.split('=').next() != Some(name.as_str()));
                run.env.push(format!("{name}={value}"));
            }
            "LABEL" => {
                let (name, value) = pair(rest)?;
                run.labels.insert(name, value);
            }
            "EXPOSE" => {
                for port in rest.split_whitespace() {
                    add(&mut run.exposed_ports, if port.contains('/') { port.into() } else { format!("{port}/tcp") });
                }
            }
            "VOLUME" => {
                let all = if rest.starts_with('[') { list(rest)? } else { words(rest) };
                all.into_iter().for_each(|path| add(&mut run.volumes, path));
            }
            "USER" => run.user = rest.into(),
            "WORKDIR" => run.working_dir = rest.into(),
            "STOPSIGNAL" => run.stop_signal = rest.into(),
            _ => {
                return Err(format!(
                    "{word} is not known here: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME and WORKDIR are"
                ));
            }
        }
        Ok(())
    }
}

fn add(all: &mut Vec<String>, one: String) {
    if !all.contains(&one) {
        all.push(one);
        all.sort();
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(String::from).collect()
}

fn list(text: &str) -> Result<Vec<String>, String> {
    serde_json::from_str(text).map_err(|_| "what begins with [ is a list of words in double quotes".to_owned())
}

/// A list of words, or a line for the shell.
fn command(text: &str) -> Result<Vec<String>, String> {
    if text.starts_with('[') { list(text) } else { Ok(["/bin/sh", "-c", text].map(String::from).to_vec()) }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(['=', ' ']).ok_or("NAME=VALUE is what it takes")?;
    let value = value.trim();
    let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    if name.is_empty() { Err("the name is empty".into()) } else { Ok((name.into(), bare.into())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_dockerfile() {
        let mut about = About::default();
        for line in [
            "CMD [\"sh\", \"-l\"]",
            "entrypoint echo $HOME",
            "ENV A=1",
            "ENV A two",
            "LABEL who=\"me you\"",
            "EXPOSE 80 53/udp",
            "VOLUME [\"/b\", \"/a\"]",
            "WORKDIR=/data",
            "USER web",
            "STOPSIGNAL SIGINT",
        ] {
            about.change(line).unwrap();
        }
        let run = &about.run;
        assert_eq!((run.cmd.join(" "), run.entrypoint.join(" ")), ("sh -l".into(), "/bin/sh -c echo $HOME".into()));
        assert_eq!((run.env.join(" "), run.labels["who"].as_str()), ("A=two".into(), "me you"));
        assert_eq!((run.exposed_ports.join(" "), run.volumes.join(" ")), ("53/udp 80/tcp".into(), "/a /b".into()));
        assert_eq!((run.working_dir.as_str(), run.user.as_str(), run.stop_signal.as_str()), ("/data", "web", "SIGINT"));
        for bad in ["", "CMD", "CMD [sh", "RUN true", "ENV A", "LABEL =x"] {
            assert!(about.change(bad).is_err(), "{bad}");
        }
    }
}

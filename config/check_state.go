package config

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// checkState looks at where the limits are counted and usage is written down.
func (r *reader) checkState(f *File) {
	switch {
	case r.faulty("state.limits.store"):
	case f.State.Limits.Store == "redis":
		r.checkRedis(f.State.Limits)
	default:
		r.checkMemory(f.State.Limits, f)
	}
	r.checkLedger(f.State.Ledger, f)
	r.checkSecrets(f.State.Secrets)
}

// shortestSecret is how long a secret that signs must be, in bytes.
const shortestSecret = 16

// checkSecrets looks at what signs ids.
func (r *reader) checkSecrets(secrets []Secret) {
	const path = "state.secrets"
	if len(secrets) > 2 {
		r.fault(path, codeContradict, "there are "+strconv.Itoa(len(secrets))+" secrets, and at most two are taken", "keep the one that signs and the one before it")
		return
	}
	for i, s := range secrets {
		at := item(path, i)
		switch {
		case r.faulty(at):
		case len(s) < shortestSecret:
			r.fault(at, codeWeakKey, "the secret is shorter than "+strconv.Itoa(shortestSecret)+" bytes", "openssl rand -base64 32 prints one")
		case !r.places[at].expanded:
			r.fault(at, codeLiteral, "a secret is written in the file", `write "${NAME}" or "${file:/path}"`)
		}
	}
}

// checkMemory warns of what matters to a shared store alone.
func (r *reader) checkMemory(c LimitStore, f *File) {
	const path = "state.limits."
	never := func(at string) {
		r.fault(at, codeNever, last(at)+" can never apply: state.limits.store is memory", "write store: redis, or remove it")
	}
	if c.URL != "" {
		never(path + "url")
	}
	for _, key := range []string{"on_error", "slice", "timeout"} {
		if _, written := r.places[path+key]; written {
			never(path + key)
		}
	}
	for name, t := range sorted(f.Teams) {
		if at := "teams." + name + ".on_error"; t.OnError != "" && !r.faulty(at) {
			never(at)
		}
	}
	if c.Replicas > 1 {
		r.fault(path+"replicas", codeAlone, "each of the "+strconv.Itoa(c.Replicas)+
			" replicas counts alone: together they let pass so many times the limits", "write store: redis, or remove it and divide the limits")
	}
}

// checkRedis looks at the store that all replicas share.
func (r *reader) checkRedis(c LimitStore) {
	const path, hint = "state.limits.url", "write redis://HOST:6379, or rediss:// for TLS"
	if c.URL == "" && !r.faulty(path) {
		r.need(path, "store redis", `add url: "${REDIS_URL}"`)
	}
	if u, ok := r.checkURL(path, c.URL, []string{"redis", "rediss"}, hint); ok {
		if _, err := strconv.ParseUint(strings.Trim(u.Path, "/"), 10, 16); err != nil && strings.Trim(u.Path, "/") != "" {
			r.fault(path, codeMalformed, "the path of url must be the number of a database", "write redis://HOST:6379/0")
		}
	}
	for _, key := range []string{"share", "for"} {
		at := "state.limits.slice." + key
		if _, written := r.places[at]; written && c.Slice.From == 0 {
			r.fault(at, codeNever, key+" can never apply: from is 0, so there are no slices", "raise from, or remove it")
		}
	}
}

// need reports that a value is absent, or empty, which another one needs.
func (r *reader) need(path, who, hint string) {
	if _, written := r.places[path]; written {
		r.fault(path, codeMissing, last(path)+" is empty", r.emptyHint(path))
		return
	}
	r.fault(path, codeMissing, who+" needs a "+last(path), hint)
}

// checkLedger looks at where usage is written down.
func (r *reader) checkLedger(c Ledger, f *File) {
	const path = "state.ledger."
	r.checkDatabase(c)
	kept := c.Path != "" || c.URL != ""
	if c.Durability == "strict" && !kept {
		r.fault(path+"durability", codeContradict, "strict needs a disk, and the ledger is in memory", "add path or url, or write batch")
	}
	if _, written := r.places[path+"max_rows"]; written && kept {
		r.fault(path+"max_rows", codeNever, "max_rows can never apply: the ledger is not in memory", "remove it; retain bounds what is kept")
	}
	if l := f.State.Limits; l.Store == "redis" && l.Replicas > 1 && c.URL == "" && longestPeriod(f) > 0 {
		r.fault("state.ledger", codeAlone, "each of the "+strconv.Itoa(l.Replicas)+
			" replicas writes down its own requests alone: where the Redis loses its state, none knows what the budgets' others have spent",
			`add url: "${DATABASE_URL}" of a PostgreSQL that they share`)
	}
	if longest := longestPeriod(f); kept && c.Retain < longest {
		days := int((longest + 24*time.Hour - 1) / (24 * time.Hour))
		r.fault(path+"retain", codeForgets, "a restart may forget a part of what was spent: the ledger keeps less than the period of a budget",
			"make it "+strconv.Itoa(days)+"d or longer")
	}
}

// checkDatabase looks at the database that the ledger is in.
func (r *reader) checkDatabase(c Ledger) {
	const path, address = "state.ledger.path", "state.ledger.url"
	if c.Path != "" && c.URL != "" {
		r.fault(address, codeContradict, "ledger has both path and url", "keep one of them")
	}
	if strings.Contains(c.Path, "://") {
		r.fault(path, codeMalformed, "path is that of a file, and this is a URL", "put the URL of a database under url")
	}
	u, ok := r.checkURL(address, c.URL, []string{"postgres", "postgresql"}, "write postgres://HOST/NAME")
	if ok && strings.Trim(u.Path, "/") == "" && !u.Query().Has("dbname") {
		r.fault(address, codeMalformed, "url names no database", "write postgres://HOST/NAME")
	}
}

// checkURL checks a URL that may hold a secret, which is why it is never quoted.
// It returns false where there is none, or none that can be used.
func (r *reader) checkURL(path string, text Secret, schemes []string, hint string) (*url.URL, bool) {
	if text == "" || r.faulty(path) {
		return nil, false
	}
	u, err := url.Parse(text.Reveal())
	message := "is not a URL with a host"
	if err == nil {
		message = addressedFault(u, schemes)
	}
	if message != "" {
		r.fault(path, codeMalformed, last(path)+" "+message, hint)
		return nil, false
	}
	if message = hostsFault(u.Host); message != "" {
		r.fault(path, codeEndpoint, strings.ReplaceAll(message, "the endpoint", last(path)), hint)
		return nil, false
	}
	if !r.places[path].expanded && holdsSecret(u) {
		r.fault(path, codeLiteral, "a secret is written in the file",
			`put the URL into the environment and write "${NAME}", or into a file and write "${file:/path}"`)
	}
	return u, true
}

// addressedFault says what is wrong with a URL apart from its host and path.
func addressedFault(u *url.URL, schemes []string) string {
	switch {
	case !slices.Contains(schemes, u.Scheme):
		return "must begin with " + strings.Join(schemes, ":// or ") + "://"
	case u.Opaque != "" || u.Hostname() == "" && !isSocket(u):
		return "is not a URL with a host"
	case u.Fragment != "":
		return "has a #, which is written as %23 in a password"
	default:
		return ""
	}
}

// isSocket reports whether a URL is that of a PostgreSQL on a socket.
func isSocket(u *url.URL) bool {
	return strings.HasPrefix(u.Scheme, "postgres") && u.Host == "" && u.Query().Has("host")
}

// hostsFault says why one of the hosts of a URL must not be called. PostgreSQL
// alone may have several, and none.
func hostsFault(hosts string) string {
	for host := range strings.SplitSeq(hosts, ",") {
		u := url.URL{Host: host}
		if message := hostFault(u.Hostname()); message != "" {
			return message
		}
		if port := u.Port(); port != "" && (!isPort(port) || port == "0") {
			return "the port of the endpoint is not one"
		}
	}
	return ""
}

// holdsSecret reports whether a URL seems to hold a password or a token.
func holdsSecret(u *url.URL) bool {
	if _, ok := u.User.Password(); ok {
		return true
	}
	for key := range u.Query() {
		if key = strings.ToLower(key); strings.Contains(key, "password") || strings.Contains(key, "token") ||
			strings.Contains(key, "key") || strings.Contains(key, "sig") {
			return true
		}
	}
	return slices.ContainsFunc(strings.Split(u.Path, "/"), looksSecret)
}

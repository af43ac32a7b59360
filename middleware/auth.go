package middleware

import (
	"crypto/sha256"
	"errors"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"weir/openai"
	"weir/usage"
)

// Caller is whom a key belongs to.
type Caller struct {
	Team    string
	Key     string    // the key's name
	Expires time.Time // zero: never
}

// Keys are the callers by the SHA-256 of their keys. It must not be changed once
// in use. How long a key takes to be found tells at most of its hash, from which
// no key is made: so nothing is compared in constant time.
type Keys map[[sha256.Size]byte]Caller

// Auth finds out who calls, from the headers that clients use, and notes it in
// the record. A key that is unknown, or expired, is refused in the same words, and
// counts against its address in failures; a request without a key, or with keys
// of two teams, is no guess and does not. Where open is not nil, a request needs
// no key: one without a key that somebody has is open's, and none fails but what a
// page of another site sends for which browsers ask nobody, or under a name that it
// made lead here.
func Auth(keys Keys, open *Caller, failures *Throttle) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			by := Credentials{keys: hashes(c.Request().Header)}
			if open != nil {
				by.keyless = keyless(c.Request())
			}
			caller, err := keys.Caller(by, open)
			switch {
			case errors.Is(err, errUnknown):
				return failures.refuse(c, unauthorized("The API key is not one of this gateway's. Send a key that was made for it, not an Azure or OpenAI key."))
			case err != nil:
				return err
			}
			r := usage.From(c.Request().Context())
			r.Team, r.Key = caller.Team, caller.Key
			return next(c)
		}
	}
}

// Credentials are what a request is let in by. No key can be made of them, so they
// may be kept for as long as what the request began goes on.
type Credentials struct {
	keys    [][sha256.Size]byte // the hashes of those that it brought
	keyless error               // why it needs one where others need none; nil: it does not
}

// CredentialsOf returns what a request is let in by.
func CredentialsOf(r *http.Request) Credentials {
	return Credentials{keys: hashes(r.Header), keyless: keyless(r)}
}

// errUnknown says that of the keys of a request nobody has any now.
var errUnknown = errors.New("middleware: nobody has such a key")

// Caller returns who brings the credentials, at this moment: whose the keys are, or
// else open, where it is not nil. An error is why Auth would refuse the request.
func (k Keys) Caller(by Credentials, open *Caller) (Caller, error) {
	caller, known, err := k.find(by.keys)
	switch {
	case err != nil || known:
		return caller, err
	case open != nil && by.keyless != nil:
		return Caller{}, by.keyless
	case open != nil:
		return *open, nil
	case len(by.keys) == 0:
		return Caller{}, unauthorized("No API key was sent. Send it as Authorization: Bearer KEY, or as api-key: KEY.")
	default:
		return Caller{}, errUnknown
	}
}

// find returns whose the keys are. They must be of one team; one that nobody has
// counts for nothing beside one that somebody has.
func (k Keys) find(given [][sha256.Size]byte) (found Caller, known bool, err error) {
	for _, key := range given {
		caller, ok := k[key]
		if !ok || !caller.Expires.IsZero() && !time.Now().Before(caller.Expires) {
			continue
		}
		if known && found.Team != caller.Team {
			return Caller{}, false, unauthorized("Authorization and api-key hold keys of different teams. Send one of them.")
		}
		if !known {
			found, known = caller, true
		}
	}
	return found, known, nil
}

// hashes returns those of the keys that a request brings.
func hashes(h http.Header) [][sha256.Size]byte {
	keys := make([]string, 0, 3)
	scheme, token, _ := strings.Cut(strings.TrimSpace(h.Get("Authorization")), " ")
	if strings.EqualFold(scheme, "Bearer") {
		keys = append(keys, token)
	}
	keys = append(keys, h.Get("Api-Key"), h.Get("Ocp-Apim-Subscription-Key"))
	if upgrades(h) {
		keys = append(keys, offered(h)...)
	}
	var sums [][sha256.Size]byte
	for _, key := range keys {
		if key = strings.TrimSpace(key); key != "" {
			sums = append(sums, sha256.Sum256([]byte(key)))
		}
	}
	return sums
}

// offeredKey is what stands before a key among the subprotocols of a WebSocket, for
// browsers, which let a page set no header.
const offeredKey = "openai-insecure-api-key."

// upgrades reports whether a request is one for a WebSocket.
func upgrades(h http.Header) bool { return strings.EqualFold(h.Get("Upgrade"), "websocket") }

// offered returns the keys among the subprotocols of a request.
func offered(h http.Header) []string {
	var keys []string
	for _, line := range h.Values("Sec-Websocket-Protocol") {
		for name := range strings.SplitSeq(line, ",") {
			if key, ok := strings.CutPrefix(strings.TrimSpace(name), offeredKey); ok && key != "" {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// keyless returns why a request needs a key where others need none; nil: it does not.
func keyless(r *http.Request) error {
	switch {
	case !own(r):
		return unauthorized("This gateway asks callers on its own machine for no key, and the Host header has a name that others may have made lead here. Call it by an IP address or as localhost, or with a key that is configured.")
	case foreign(r):
		return unauthorized("A page of another site needs a key. Send it as Authorization: Bearer KEY, or beside the subprotocol realtime as " + offeredKey + "KEY.")
	}
	return nil
}

// own reports whether a request came under a name that leads to this machine whoever
// asks: an address, or localhost. One that came over no network has no such name.
func own(r *http.Request) bool {
	if _, err := netip.ParseAddrPort(r.RemoteAddr); err != nil {
		return true
	}
	here := url.URL{Host: r.Host}
	name := strings.ToLower(here.Hostname())
	_, err := netip.ParseAddr(name)
	return err == nil || name == "" || name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// foreign reports whether a request is from a page that is not of the gateway's own
// host, and one that browsers send without asking here first.
func foreign(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || !upgrades(r.Header) && !unasked(r) {
		return false
	}
	page, err := url.Parse(origin)
	here := url.URL{Host: r.Host}
	return err != nil || !strings.EqualFold(page.Hostname(), here.Hostname())
}

// unasked reports whether a body comes as any page may send one to any site: as a
// form, as plain text, or without a type.
func unasked(r *http.Request) bool {
	kind, _, _ := mime.ParseMediaType(strings.Join(r.Header.Values("Content-Type"), ","))
	switch kind {
	case "", "multipart/form-data", "application/x-www-form-urlencoded", "text/plain":
		return r.Method == http.MethodPost
	}
	return false
}

func unauthorized(message string) error {
	return &openai.Error{Status: http.StatusUnauthorized, Code: openai.CodeInvalidAPIKey, Message: message}
}

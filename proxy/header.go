package proxy

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"weir/openai"
	"weir/usage"
)

// callOf returns a call with what the client's header says of it, and with whose it
// is and where it may go. What it asks for is for the caller to fill in.
func callOf(r *http.Request, share openai.Share, regions []string) *openai.Call {
	return &openai.Call{
		Header: forwarded(r.Header), Retries: usage.From(r.Context()).Retry, Within: patience(r.Header), Bearer: bearer(r.Header),
		Share: share, Regions: regions,
	}
}

// forwarded returns what goes along of a client's header: what upstream reads and
// cannot be used against the gateway.
func forwarded(h http.Header) map[string][]string {
	kept := map[string][]string{}
	for _, name := range []string{"User-Agent", "X-Ms-Client-Request-Id", "Aoai-Evals", "Extra-Parameters"} {
		if v := h.Values(name); len(v) == 1 {
			kept[name] = v
		}
	}
	return kept
}

// bearer returns the token that a client sent of its own: what Authorization
// holds, where it looks like a signed token and so like no key of ours.
func bearer(h http.Header) string {
	values := h.Values("Authorization")
	if len(values) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(strings.TrimSpace(values[0]), " ")
	if token = strings.TrimSpace(token); !strings.EqualFold(scheme, "Bearer") || !isJWT(token) {
		return ""
	}
	return token
}

// isJWT reports whether text looks like a signed JSON web token.
func isJWT(text string) bool {
	parts := strings.Split(text, ".")
	for _, part := range parts {
		if _, err := base64.RawURLEncoding.DecodeString(part); err != nil || part == "" {
			return false
		}
	}
	return len(parts) == 3 && strings.HasPrefix(text, "eyJ")
}

// patience returns how long the client waits for the beginning of an answer, as
// its library says in a header of its own; 0 where it does not. A stream is
// waited for byte by byte, so the bound on reading holds for its beginning too.
func patience(h http.Header) time.Duration {
	var least time.Duration
	for _, name := range []string{"X-Stainless-Timeout", "X-Stainless-Read-Timeout"} {
		seconds, err := strconv.ParseFloat(h.Get(name), 64)
		if err != nil || seconds <= 0 || seconds > 24*60*60 {
			continue
		}
		if d := time.Duration(seconds * float64(time.Second)); least == 0 || d < least {
			least = d
		}
	}
	return least
}

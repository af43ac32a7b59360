package middleware_test

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"

	"weir/middleware"
	"weir/openai"
	"weir/usage"
)

// TestAuthOfPages holds that where no key is needed, no page of another site spends
// anything with what browsers send without asking: forms, and bodies of no type.
func TestAuthOfPages(t *testing.T) {
	t.Parallel()
	const other = "https://evil.example"
	keys := middleware.Keys{sha256.Sum256([]byte("one")): {Team: "one", Key: "a"}}
	open := &middleware.Caller{Team: "open"}
	for _, tt := range []struct {
		name, method, origin, kind, key string
		open                            *middleware.Caller
		want                            string // team; "" a 401
	}{
		{name: "a form", origin: other, kind: "multipart/form-data; boundary=x", open: open},
		{name: "a form in capitals", origin: other, kind: "Multipart/Form-Data; boundary=x", open: open},
		{name: "a plain form", origin: other, kind: "application/x-www-form-urlencoded", open: open},
		{name: "text", origin: other, kind: "text/plain;charset=UTF-8", open: open},
		{name: "no type", origin: other, open: open},
		{name: "a type that is none", origin: other, kind: ";", open: open},
		{name: "a page of no host", origin: "null", kind: "multipart/form-data; boundary=x", open: open},
		{name: "JSON, before which browsers ask", origin: other, kind: "application/json", open: open, want: "open"},
		{name: "a look", method: http.MethodGet, origin: other, open: open, want: "open"},
		{name: "no page", kind: "multipart/form-data; boundary=x", open: open, want: "open"},
		{name: "a page of its own host", origin: "http://localhost:3000", kind: "multipart/form-data; boundary=x", open: open, want: "open"},
		{name: "a page that has a key", origin: other, kind: "multipart/form-data; boundary=x", key: "one", open: open, want: "one"},
		{name: "a page that has a key, of a gateway that wants one", origin: other, kind: "multipart/form-data; boundary=x", key: "one", want: "one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			method := tt.method
			if method == "" {
				method = http.MethodPost
			}
			r := httptest.NewRequestWithContext(t.Context(), method, "http://localhost:8080/v1/files", nil)
			for name, value := range map[string]string{"Origin": tt.origin, "Content-Type": tt.kind, "Api-Key": tt.key} {
				if value != "" {
					r.Header.Set(name, value)
				}
			}
			rec := &usage.Record{}
			c := echo.New().NewContext(r.WithContext(usage.With(r.Context(), rec)), httptest.NewRecorder())
			err := middleware.Auth(keys, tt.open, middleware.NewThrottle(nil))(func(echo.Context) error { return nil })(c)
			if e, refused := errors.AsType[*openai.Error](err); refused != (tt.want == "") || refused && e.Status != http.StatusUnauthorized || rec.Team != tt.want {
				t.Errorf("team %q, %v", rec.Team, err)
			}
		})
	}
}

// TestAuthOfNames holds that a gateway without keys is not called by a name that a
// page may have made lead to this machine, unless with a key.
func TestAuthOfNames(t *testing.T) {
	t.Parallel()
	keys := middleware.Keys{sha256.Sum256([]byte("one")): {Team: "one"}}
	open := &middleware.Caller{Team: "open"}
	for _, tt := range []struct{ host, from, key, want string }{
		{host: "localhost", want: "open"},
		{host: "LOCALHOST:8080", want: "open"},
		{host: "weir.localhost:8080", want: "open"},
		{host: "127.0.0.1:8080", want: "open"},
		{host: "[::1]:8080", want: "open"},
		{host: "10.0.0.7", want: "open"},
		{host: "", want: "open"},
		{host: "evil.example:8080"},
		{host: "127.0.0.1.evil.example"},
		{host: "localhost.evil.example"},
		{host: "notlocalhost"},
		{host: "evil.example:8080", key: "one", want: "one"},
		{host: "evil.example", from: "@", want: "open"}, // over a socket of this machine
	} {
		t.Run(tt.host+tt.from+tt.key, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/files", nil)
			r.Host = tt.host
			if tt.from != "" {
				r.RemoteAddr = tt.from
			}
			if tt.key != "" {
				r.Header.Set("Api-Key", tt.key)
			}
			rec := &usage.Record{}
			c := echo.New().NewContext(r.WithContext(usage.With(r.Context(), rec)), httptest.NewRecorder())
			err := middleware.Auth(keys, open, middleware.NewThrottle(nil))(func(echo.Context) error { return nil })(c)
			if e, refused := errors.AsType[*openai.Error](err); refused != (tt.want == "") || refused && e.Status != http.StatusUnauthorized || rec.Team != tt.want {
				t.Errorf("team %q, %v", rec.Team, err)
			}
		})
	}
}

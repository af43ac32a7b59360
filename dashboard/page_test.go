package dashboard_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/dashboard"
)

// TestVendored holds what others have written to what they have published.
func TestVendored(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"uPlot.esm.js":  "5dd9b3281aa64b461b42d9945f6adb2649d346502b12281a9ae0d46599a80eba",
		"uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
		"LICENSE":       "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
	}
	got := map[string]string{}
	for name := range want {
		b, err := os.ReadFile(filepath.Join("assets", "vendor", "uplot", name))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(b)
		got[name] = hex.EncodeToString(sum[:])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestPage is served whole, under headers that let nothing else in.
func TestPage(t *testing.T) {
	t.Parallel()
	get := func(h http.Handler, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	tests := []struct {
		name   string
		h      http.Handler
		path   string
		status int
		kind   string
	}{
		{"the page", dashboard.Page(), "/", 200, "text/html; charset=utf-8"},
		{"a module", dashboard.Page(), "/assets/app.js", 200, "text/javascript; charset=utf-8"},
		{"the style", dashboard.Page(), "/assets/style.css", 200, "text/css; charset=utf-8"},
		{"the icon", dashboard.Page(), "/assets/icon.svg", 200, "image/svg+xml"},
		{"the plots", dashboard.Page(), "/assets/vendor/uplot/uPlot.esm.js", 200, "text/javascript; charset=utf-8"},
		{"nothing there", dashboard.Page(), "/assets/none.js", 404, "text/plain; charset=utf-8"},
		{"a folder", dashboard.Page(), "/assets/vendor", 404, "text/plain; charset=utf-8"},
		{"a path that climbs", dashboard.Page(), "/assets/../page.go", 404, "text/plain; charset=utf-8"},
		{"the page of keys", dashboard.MePage(), "/admin/me", 200, "text/html; charset=utf-8"},
		{"its module", dashboard.MePage(), "/admin/me/me.js", 200, "text/javascript; charset=utf-8"},
		{"another page's module", dashboard.MePage(), "/admin/me/app.js", 404, "text/plain; charset=utf-8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := get(tt.h, tt.path)
			h := w.Header()
			if w.Code != tt.status || h.Get("Content-Type") != tt.kind {
				t.Errorf("it answers %d %s, want %d %s", w.Code, h.Get("Content-Type"), tt.status, tt.kind)
			}
			policy := h.Get("Content-Security-Policy")
			if !strings.HasPrefix(policy, "default-src 'self';") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
				t.Errorf("its policy is %q", policy)
			}
			if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("Set-Cookie") != "" {
				t.Errorf("its headers are %v", h)
			}
		})
	}
}

// TestNothingIsMarkup: no module writes markup from text, keeps anything beyond the
// page, or names another host.
func TestNothingIsMarkup(t *testing.T) {
	t.Parallel()
	bad := regexp.MustCompile(`innerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|localStorage|sessionStorage|document\.cookie|https?://`)
	err := fs.WalkDir(os.DirFS("assets"), ".", func(path string, f fs.DirEntry, err error) error {
		if err != nil || f.IsDir() || strings.HasPrefix(path, "vendor/") {
			return err
		}
		b, err := os.ReadFile(filepath.Join("assets", path))
		text := strings.ReplaceAll(string(b), "http://www.w3.org/2000/svg", "")
		if found := bad.FindString(text); found != "" {
			t.Errorf("%s has %q", path, found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

package dashboard

import (
	"embed"
	"net/http"
	"path"
	"strings"
)

//go:embed assets
var assets embed.FS

// harden sets the headers under which a browser runs nothing but what is embedded
// here, shows it in no frame, and tells nobody where it was.
func harden(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// Page serves the page at / and what it is made of below /assets/. Nothing of it is
// secret: it holds no data.
func Page() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			serveAsset(w, "index.html")
			return
		}
		serveAsset(w, strings.TrimPrefix(r.URL.Path, "/assets/"))
	})
}

// MePage serves the page for holders of keys at MePath, and what it is made of
// below it.
func MePage() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == MePath {
			serveAsset(w, "me.html")
			return
		}
		switch name := strings.TrimPrefix(r.URL.Path, MePath+"/"); name {
		case "me.js", "style.css", "dom.js", "format.js", "icon.svg":
			serveAsset(w, name)
		default:
			serveAsset(w, "")
		}
	})
}

// serveAsset answers with a file. It may be kept, but is asked for each time: it
// changes with the binary.
func serveAsset(w http.ResponseWriter, name string) {
	harden(w.Header())
	w.Header().Set("Cache-Control", "no-cache")
	b, err := assets.ReadFile(path.Join("assets", path.Clean("/"+name)))
	if err != nil || name == "" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte("There is nothing here.\n")) // a client that is gone sees nothing
		return
	}
	w.Header().Set("Content-Type", contentType(name))
	_, _ = w.Write(b) //nolint:gosec // it is a file that is embedded, whatever its name came from
}

// contentType returns that of a file, whatever the system thinks of its name.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	default:
		return "text/plain; charset=utf-8"
	}
}

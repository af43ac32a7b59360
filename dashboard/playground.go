package dashboard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// asked is what the playground is asked to send.
type asked struct {
	Path    string          `json:"path"` // "": chat completions
	Key     string          `json:"key"`
	Body    json.RawMessage `json:"body"`
	Explain bool            `json:"explain"`
}

// paths returns where the playground sends to.
func paths() []string {
	return []string{"/v1/chat/completions", "/v1/responses", "/v1/completions", "/v1/embeddings", "/v1/moderations"}
}

// play sends a request to the API of this process with the key that it is given,
// as any client would, and streams the answer through. The admin token, cookies and
// whatever else the page's request has stay here.
func (d *Dashboard) play(w http.ResponseWriter, r *http.Request) *Problem {
	var in asked
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); tooLong(err) {
		return &Problem{http.StatusRequestEntityTooLarge, "body", "The request is larger than the admin address takes. Send it to the API itself."}
	} else if err != nil {
		return &Problem{http.StatusBadRequest, "", "The body is JSON with body, and with path, key and explain where they are wanted."}
	}
	if in.Path == "" {
		in.Path = paths()[0]
	}
	switch {
	case !slices.Contains(paths(), in.Path):
		return &Problem{http.StatusBadRequest, "path", fmt.Sprintf("path cannot be %.60q. There are %s.", in.Path, strings.Join(paths(), ", "))}
	case len(in.Body) == 0:
		return &Problem{http.StatusBadRequest, "body", "body is missing. It is what a client would send."}
	case strings.ContainsAny(in.Key, "\r\n"):
		return &Problem{http.StatusBadRequest, "key", "key has a line break in it. Send the key alone."}
	case d.cfg.API == nil:
		return &Problem{http.StatusNotFound, "", "There is no API behind this playground."}
	}
	out, err := http.NewRequestWithContext(r.Context(), http.MethodPost, in.Path, bytes.NewReader(in.Body))
	if err != nil {
		return &Problem{http.StatusBadRequest, "path", "path is none of a URL."}
	}
	out.RemoteAddr, out.Host, out.RequestURI = r.RemoteAddr, r.Host, in.Path
	out.Header.Set("Content-Type", "application/json")
	out.Header.Set("User-Agent", "weir-playground/"+d.cfg.Version)
	if in.Key != "" {
		out.Header.Set("Authorization", "Bearer "+in.Key)
	}
	if in.Explain {
		out.Header.Set("X-Weir-Explain", "1")
	}
	d.cfg.API.ServeHTTP(w, out)
	return nil
}

package azuresim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// How much a resource keeps of each kind of thing: the newest, so many, and not
// more than so many bytes.
const (
	shelfCount = 1000
	shelfBytes = 32 << 20
)

// state is what a resource keeps between requests. It is guarded by the server's
// mutex.
type state struct {
	made          int // ids
	responses     *shelf[*response]
	chats         *shelf[*storedChat]
	files         *shelf[*file]
	batches       *shelf[*batch]
	conversations *shelf[*conversation]
}

func newState() state {
	return state{
		responses: newShelf[*response](), chats: newShelf[*storedChat](), files: newShelf[*file](),
		batches: newShelf[*batch](), conversations: newShelf[*conversation](),
	}
}

// shelf keeps things by id. Where there are too many the oldest go.
type shelf[T any] struct {
	order []string
	byID  map[string]kept[T]
	bytes int
}

type kept[T any] struct {
	thing T
	size  int
}

func newShelf[T any]() *shelf[T] { return &shelf[T]{byID: map[string]kept[T]{}} }

func (s *shelf[T]) put(id string, thing T, size int) {
	s.remove(id)
	s.order = append(s.order, id)
	s.byID[id] = kept[T]{thing, size}
	s.bytes += size
	for len(s.order) > 1 && (len(s.order) > shelfCount || s.bytes > shelfBytes) {
		s.remove(s.order[0])
	}
}

func (s *shelf[T]) get(id string) (T, bool) {
	k, ok := s.byID[id]
	return k.thing, ok
}

func (s *shelf[T]) remove(id string) bool {
	k, ok := s.byID[id]
	if ok {
		s.bytes -= k.size
		delete(s.byID, id)
		s.order = slices.DeleteFunc(s.order, func(x string) bool { return x == id })
	}
	return ok
}

// all returns what is kept, the oldest first.
func (s *shelf[T]) all() []T {
	list := make([]T, len(s.order))
	for i, id := range s.order {
		list[i] = s.byID[id].thing
	}
	return list
}

// newID returns an id that no other resource gives. Call it with the server's
// mutex held.
func (s *Server) newID(prefix string, digits int) string {
	s.kept.made++
	mac := s.sum(fmt.Sprint(prefix, s.kept.made))
	return prefix + hex.EncodeToString(mac)[:digits]
}

// sum is a keyed digest of text, which only this resource can make.
func (s *Server) sum(text string) []byte {
	h := hmac.New(sha256.New, s.secret)
	_, _ = h.Write([]byte(text))
	return h.Sum(nil)
}

// page answers a listing of objects that are in order of their making, newest
// first where the query does not say otherwise.
func page(list []object, q url.Values, most int) *Step {
	limit := 20
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		switch {
		case err != nil || n < 1:
			return outOfRange("limit", "integer below minimum value", ">= 1", float64(n))
		case n > most:
			return outOfRange("limit", "integer above maximum value", "<= "+strconv.Itoa(most), float64(n))
		}
		limit = n
	}
	list = slices.Clone(list)
	if q.Get("order") != "asc" {
		slices.Reverse(list)
	}
	if after := q.Get("after"); after != "" {
		i := slices.IndexFunc(list, func(o object) bool { return o["id"] == after })
		list = list[i+1:] // All of it where the id is unknown; Azure's answer to that is not known.
	}
	data := append([]object{}, list[:min(limit, len(list))]...)
	o := object{"object": "list", "data": data, "first_id": nil, "last_id": nil, "has_more": len(data) < len(list)}
	if len(data) > 0 {
		o["first_id"], o["last_id"] = data[0]["id"], data[len(data)-1]["id"]
	}
	return answer(http.StatusOK, o)
}

// missing is the 404 for something that is not kept here: never made, deleted,
// or another resource's. Its texts are OpenAI's; Azure's are guessed to be the
// same.
func missing(text, param string) *Step {
	return modelError(http.StatusNotFound, text, "invalid_request_error", param, "")
}

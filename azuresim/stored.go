package azuresim

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
)

// storedChat is a chat that was asked to be stored.
type storedChat struct {
	answer   object
	messages []object
}

// keepChat keeps the answer of a chat whose request sets store. Call it without
// the server's mutex.
func (c *call) keepChat(body object) {
	if string(c.chat.fields["store"]) != "true" {
		return
	}
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	c.unique = c.srv.newID("chatcmpl-", 29)
	body["id"] = c.unique
	kept := &storedChat{answer: maps.Clone(body)}
	kept.answer["metadata"] = object{}
	if c.chat.has("metadata") {
		kept.answer["metadata"] = c.chat.fields["metadata"]
	}
	for i, m := range c.chat.messages {
		kept.messages = append(kept.messages, object{
			"id": fmt.Sprintf("%s-%d", c.unique, i), "role": m.Role, "content": m.text, "name": nil, "content_parts": nil,
		})
	}
	c.srv.kept.chats.put(c.unique, kept, 2*len(c.raw))
}

// storedChat does something with the chat that the path names, or answers 404.
func (c *call) storedChat(do func(*storedChat) *Step) (*Step, []event) {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	kept, ok := c.srv.kept.chats.get(c.route.id)
	if !ok {
		return missing("No stored completion found with id '"+c.route.id+"'.", ""), nil
	}
	return do(kept), nil
}

func (c *call) getChat() (*Step, []event) {
	return c.storedChat(func(kept *storedChat) *Step { return answer(http.StatusOK, kept.answer) })
}

func (c *call) chatMessages() (*Step, []event) {
	return c.storedChat(func(kept *storedChat) *Step {
		q := c.r.URL.Query()
		if !q.Has("order") {
			q.Set("order", "asc")
		}
		return page(kept.messages, q, 100)
	})
}

// updateChat replaces the metadata, which is all that can be changed.
func (c *call) updateChat() (*Step, []event) {
	var q struct {
		Metadata json.RawMessage `json:"metadata"`
	}
	if json.Unmarshal(c.raw, &q) != nil || len(q.Metadata) == 0 {
		return invalid("Missing required parameter: 'metadata'.", "metadata", "missing_required_parameter"), nil
	}
	return c.storedChat(func(kept *storedChat) *Step {
		kept.answer["metadata"] = q.Metadata
		return answer(http.StatusOK, kept.answer)
	})
}

func (c *call) deleteChat() (*Step, []event) {
	return c.storedChat(func(*storedChat) *Step {
		c.srv.kept.chats.remove(c.route.id)
		return answer(http.StatusOK, object{"id": c.route.id, "object": "chat.completion.deleted", "deleted": true})
	})
}

func (c *call) listChats() (*Step, []event) {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	q := c.r.URL.Query()
	if !q.Has("order") {
		q.Set("order", "asc")
	}
	var list []object
	for _, kept := range c.srv.kept.chats.all() {
		if model := q.Get("model"); model == "" || kept.answer["model"] == model {
			list = append(list, kept.answer)
		}
	}
	return page(list, q, 100), nil
}

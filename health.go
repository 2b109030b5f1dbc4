package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"time"
)

const helpHealth = `Asks the server that runs on this machine, with the same configuration, whether
it is ready: it is the health check of an image that has no other program to ask
with. It waits for 5 seconds at most.

Exit code: 0 ready, 1 not ready, or no server responds, 2 misused.`

func startHealth(*flag.FlagSet) action {
	return func(ctx context.Context, read reader, _ []string) error {
		c, err := read("listen")
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if err := c.askReady(ctx); err != nil {
			return err
		}
		fmt.Println("ready")
		return nil
	}
}

func (c *config) askReady(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.localURL()+"/readyz", nil)
	if err != nil {
		return err
	}
	anyone := &tls.Config{InsecureSkipVerify: true} // no certificate is for the address of this machine
	if len(c.TLS.ACMEDomains) > 0 {
		anyone.ServerName = c.TLS.ACMEDomains[0]
	}
	client := http.Client{Transport: c.localTransport(anyone)}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var answer struct{ Message string }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s is not the presence server: it answers %s", c.localName(), response.Status)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", answer.Message)
	}
	return nil
}

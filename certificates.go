package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// certificates are what the server presents: certificateFiles, or acmeCertificates.
type certificates interface {
	// tlsConfig returns how the server presents them.
	tlsConfig() *tls.Config

	// expires returns when the first of them expires; the zero time means that there
	// is none yet.
	expires() time.Time

	// use presents the pair in these files from now on.
	use(cert, key string) error

	// start keeps them up to date until stop is called, which waits for the end.
	start() (stop func(), err error)
}

// listen opens the listeners, and serves them, with TLS if it is configured.
func (c *config) listen(dev bool, log *slog.Logger) (*webServer, error) {
	certs, err := c.certificates(log)
	if err != nil {
		return nil, err
	}
	listeners, err := c.openListeners(dev)
	if err != nil {
		return nil, err
	}
	if certs == nil {
		return serveOn(listeners, nil, log), nil
	}
	web := serveOn(listeners, certs.tlsConfig(), log)
	web.certs = certs
	if web.stopCerts, err = certs.start(); err != nil {
		web.close()
		return nil, err
	}
	return web, nil
}

// certificates returns nil if no TLS is configured.
func (c *config) certificates(log *slog.Logger) (certificates, error) {
	switch {
	case len(c.TLS.ACMEDomains) > 0:
		return c.openACME(log), nil
	case c.TLS.Cert != "":
		return openCertificates(c.TLS.Cert, c.TLS.Key, log)
	}
	return nil, nil
}

// secure reports whether the server speaks TLS.
func (c *config) secure() bool { return c.TLS.Cert != "" || len(c.TLS.ACMEDomains) > 0 }

// certificateFiles are the certificate and the private key that the server presents,
// from tls.cert and tls.key. When the files change, it presents the new pair from the
// next connection on; open connections are not affected. While the files don't match,
// it presents the last pair.
type certificateFiles struct {
	log    *slog.Logger
	served atomic.Pointer[tls.Certificate]

	mu         sync.Mutex
	cert, key  string // the paths of the files
	text       []byte // what was read from them last
	lastReason string // why they don't match; "" means that they do
}

// certificateInterval is how often the files are read. Their contents are compared,
// because the times of files say nothing where a renewal replaces symbolic links.
const certificateInterval = 10 * time.Second

// openCertificates returns an error if the files don't match.
func openCertificates(cert, key string, log *slog.Logger) (*certificateFiles, error) {
	v := &certificateFiles{log: log}
	return v, v.use(cert, key)
}

func (v *certificateFiles) tlsConfig() *tls.Config {
	return &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return v.served.Load(), nil }}
}

func (v *certificateFiles) expires() time.Time { return v.served.Load().Leaf.NotAfter }

// use presents the pair in these files from now on. If they don't match, it changes
// nothing, and returns an error.
func (v *certificateFiles) use(cert, key string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	text, pair, err := readPair(cert, key)
	if err != nil {
		return err
	}
	v.cert, v.key = cert, key
	v.present(text, pair)
	return nil
}

// present presents a pair, and logs it unless it is the first. The caller holds mu.
func (v *certificateFiles) present(text []byte, pair *tls.Certificate) {
	if before := v.served.Swap(pair); before != nil && !bytes.Equal(v.text, text) {
		v.log.Info("certificate changed", "file", v.cert, "expires", pair.Leaf.NotAfter)
	}
	v.text, v.lastReason = text, ""
}

// refresh presents the pair in the files if they have changed. If they don't match, it
// logs the reason, once for each reason.
func (v *certificateFiles) refresh() {
	v.mu.Lock()
	defer v.mu.Unlock()
	text, pair, err := readPair(v.cert, v.key)
	switch {
	case err == nil:
		v.present(text, pair)
	case err.Error() != v.lastReason:
		v.lastReason = err.Error()
		v.log.Error("certificate not changed: tls.cert and tls.key don't match; the last pair stays in use", "error", err)
	}
}

func (v *certificateFiles) start() (stop func(), err error) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { v.watch(ctx) })
	return func() {
		cancel()
		running.Wait()
	}, nil
}

// watch refreshes the pair regularly, until ctx is done.
func (v *certificateFiles) watch(ctx context.Context) {
	tick := time.NewTicker(certificateInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			v.refresh()
		}
	}
}

// readPair returns the contents of two files, and the pair of certificate and key that
// they are.
func readPair(certFile, keyFile string) (text []byte, pair *tls.Certificate, err error) {
	cert, certErr := os.ReadFile(certFile)
	key, keyErr := os.ReadFile(keyFile)
	if err := errors.Join(certErr, keyErr); err != nil {
		return nil, nil, err
	}
	read, err := tls.X509KeyPair(cert, key)
	return append(cert, key...), &read, err
}

/* TLS handshakes of a Java client that takes no certificate whose revocation it cannot look up in
 * the CRL that the certificate names. java Revoked CA.pem NAME:PORT[:SUITE]...: connects to that
 * port of 127.0.0.1 and prints a line for each, its suite, or what failed. */
import java.io.FileInputStream;
import java.net.Socket;
import java.security.cert.CertPathBuilder;
import java.security.cert.CertificateFactory;
import java.security.cert.PKIXBuilderParameters;
import java.security.cert.PKIXRevocationChecker;
import java.security.cert.TrustAnchor;
import java.security.cert.X509CertSelector;
import java.security.cert.X509Certificate;
import java.util.EnumSet;
import java.util.Set;
import javax.net.ssl.CertPathTrustManagerParameters;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

public class Revoked {
    static SSLContext context(String file) throws Exception {
        X509Certificate root;
        try (FileInputStream in = new FileInputStream(file)) {
            root = (X509Certificate) CertificateFactory.getInstance("X.509")
                           .generateCertificate(in);
        }
        PKIXRevocationChecker checker =
                (PKIXRevocationChecker) CertPathBuilder.getInstance("PKIX").getRevocationChecker();
        checker.setOptions(EnumSet.of(PKIXRevocationChecker.Option.PREFER_CRLS,
                PKIXRevocationChecker.Option.NO_FALLBACK));
        PKIXBuilderParameters parameters = new PKIXBuilderParameters(
                Set.of(new TrustAnchor(root, null)), new X509CertSelector());
        parameters.addCertPathChecker(checker);
        TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
        trust.init(new CertPathTrustManagerParameters(parameters));
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        return context;
    }

    static String connect(SSLContext context, String[] to) throws Exception {
        Socket plain = new Socket("127.0.0.1", Integer.parseInt(to[1]));
        try (SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket(
                     plain, to[0], plain.getPort(), true)) {
            SSLParameters parameters = socket.getSSLParameters();
            parameters.setEndpointIdentificationAlgorithm("HTTPS");
            if (to.length > 2) parameters.setCipherSuites(new String[] {to[2]});
            socket.setSSLParameters(parameters);
            socket.startHandshake();
            return socket.getSession().getCipherSuite();
        }
    }

    public static void main(String[] args) throws Exception {
        System.setProperty("com.sun.security.enableCRLDP", "true");
        SSLContext context = context(args[0]);
        for (int i = 1; i < args.length; i++) {
            try {
                System.out.println(connect(context, args[i].split(":")));
            } catch (Exception e) {
                Throwable cause = e;
                while (cause.getCause() != null) cause = cause.getCause();
                System.out.println("failed: " + cause);
            }
        }
    }
}

import java.io.InputStream;
import java.net.URI;
import javax.net.ssl.HttpsURLConnection;

/** java FirstAnswer.java URL COUNT: milliseconds from before each new connection to its answer. */
public final class FirstAnswer {
    public static void main(String[] args) throws Exception {
        System.setProperty("http.keepAlive", "false");
        for (int i = 0; i < Integer.parseInt(args[1]); i++) {
            long before = System.nanoTime();
            var connection = (HttpsURLConnection) URI.create(args[0]).toURL().openConnection();
            try (InputStream body = connection.getInputStream()) {
                System.out.println((System.nanoTime() - before) / 1e6);
                body.readAllBytes();
            }
        }
    }
}

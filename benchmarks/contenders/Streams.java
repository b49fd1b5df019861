import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.charset.StandardCharsets;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;

/** Kafka Streams from topic to topic: JOB BOOTSTRAP SOURCE SINK FOLDER, as all contenders. */
public final class Streams {
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] words) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "group-" + words[3]);
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, words[1]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, words[4]);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0); // one output per input
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1000);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.ACKS_CONFIG), "all");
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 20);

        StreamsBuilder builder = new StreamsBuilder();
        var keys = Serdes.ByteArray();
        KStream<byte[], byte[]> read = builder.stream(words[2], Consumed.with(keys, Serdes.ByteArray()));
        KStream<byte[], byte[]> written = switch (words[0]) {
            case "pass" -> read;
            case "json" -> read.mapValues(Streams::change);
            case "count" -> read
                .groupByKey(Grouped.with(keys, Serdes.ByteArray()))
                .count(Materialized.with(keys, Serdes.Long()))
                .toStream()
                .mapValues(count -> Long.toString(count).getBytes(StandardCharsets.US_ASCII));
            default -> throw new IllegalArgumentException(words[0]);
        };
        written.to(words[3], Produced.with(keys, Serdes.ByteArray()));

        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }

    private static byte[] change(byte[] value) {
        try {
            ObjectNode order = (ObjectNode) JSON.readTree(value);
            order.put("n", order.get("n").asLong() + 1);
            return JSON.writeValueAsBytes(order);
        } catch (java.io.IOException error) {
            throw new java.io.UncheckedIOException(error);
        }
    }
}
